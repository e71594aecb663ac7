"""Contenders: the models that one is compared with on the test part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gnas_search.baselines import BASELINES, baseline_spec
from gnas_search.comparison import ROUNDS, Difference, compare
from gnas_search.exam import Exam
from gnas_search.memory_check import TOO_LARGE
from gnas_search.outcome import Outcome, checkpoint_outcome
from gnas_search.train import train_checkpoint
from gnas_serve.errors import ConfigError

BASELINE = "baseline"
EVERY_BASELINE = "baselines"
METHOD = {
    "interval": "95 % bootstrap over users of the mean paired difference",
    "p_value": f"sign-flip randomisation test over users, two-sided, {ROUNDS} draws",
    "p_holm": "Holm's correction over the models compared, within each metric",
}


@dataclass(frozen=True)
class Contender:
    """A model that another one is compared with.

    Attributes
    ----------
    name
        Of a baseline, or the path as it was given.
    kind
        ``"baseline"``, ``"checkpoint"`` or ``"artifact"``.
    outcome
        On the same exam.
    """

    name: str
    kind: str
    outcome: Outcome


def baseline_outcomes(
    exam: Exam, names: Iterable[str], *, on_left_out: Callable[[str, str], None]
) -> Iterator[Contender]:
    """Fit baselines and measure them, as a study would: settings by validation, then trained on train + validation.

    Parameters
    ----------
    exam
        With the data and the seed.
    names
        Some of :data:`gnas_search.baselines.BASELINES`.
    on_left_out
        Called with name and reason where a fit would not go into memory: the others go on.
    """
    dataset = exam.dataset
    for name in names:
        try:
            spec = baseline_spec(name, dataset.selection, exam.validation, seed=exam.seed)
            checkpoint = train_checkpoint(dataset, spec, seed=exam.seed)
        except ConfigError as error:
            if error.code != TOO_LARGE:
                raise
            on_left_out(name, error.message)
        else:
            yield Contender(name, BASELINE, checkpoint_outcome(exam, checkpoint))


def named_baselines(name: str) -> list[str]:
    """Give the baselines that a word stands for: all of them, the one of that name, or none."""
    return list(BASELINES) if name == EVERY_BASELINE else [name] if name in BASELINES else []


def compare_outcomes(outcome: Outcome, contenders: list[Contender], exam: Exam) -> list[dict[str, Difference]]:
    """Compare a model with each contender on the same users, in every metric that both have."""
    return compare(outcome.values, [one.outcome.values for one in contenders], seed=exam.seed)
