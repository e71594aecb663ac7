"""Phases: networks are first searched for their architecture, then for the hyperparameters of the best few."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gnas_search.space import Gene, SearchSpace
from gnas_search.space.points import Point, first_value
from gnas_search.specs import GNN
from gnas_search.strategies.tally import REJECTED, Tally
from gnas_search.study import records
from gnas_search.study.limits import Limits
from gnas_search.study.records import PHASE

START, ARCHITECTURE, HYPERPARAMETERS = "start", "architecture", "hyperparameters"
FIRST_SHARE = 0.6
"""Of what is left of a search after the networks' starts goes to architectures."""
TUNED = 3
"""So many architectures are tuned, in turn."""
TUNABLE = (
    "adversarial_radius",
    "adversarial_weight",
    "batch_size",
    "contrast_noise",
    "contrast_weight",
    "dropout",
    "edge_dropout",
    "epochs",
    "learning_rate",
    "num_negatives",
    "patience",
    "temperature",
    "uniformity_weight",
    "weight_decay",
)
"""Settings of how a network is trained and regularised: the same architecture whatever they are."""


@dataclass(frozen=True)
class Tuning:
    """What the second phase leaves to a strategy.

    Attributes
    ----------
    base
        The point of the architecture's best trial: what is not free stays as it is there.
    free
        The genes that the strategy proposes values for.
    """

    base: Point
    free: tuple[str, ...]


def free_genes(genes: Mapping[str, Gene]) -> tuple[str, ...]:
    """List the genes that tell trainings of one architecture apart; those of a layer stand as ``layer.0.dropout``."""
    return tuple(name for name, gene in genes.items() if name.split(".")[-1] in TUNABLE and not gene.single())


_Worth = tuple[float, int, FrozenTrial]
"""What a trial is worth, its number turned, as of equals the earlier counts, and the trial."""


class Phases:
    """Says of each draw which phase it is in.

    Parameters
    ----------
    journal
        The Optuna study.
    space
        Restricted to its data.
    """

    def __init__(self, journal: optuna.Study, space: SearchSpace) -> None:
        self._journal = journal
        self._space = space
        # Of the finished networks, which do not change: to go through hundreds at each draw took as long as to choose.
        self._weighed: set[int] = set()
        self._best: dict[str, _Worth] = {}
        self._drawn: Counter[str] = Counter()
        self._proposing_since: float | None = None
        self._first: int | None = None  # the network that was proposed first, once one was

    def progress(self, limits: Limits, known: Sequence[int], running: int) -> float:
        """Say how much is over of what the starts of the networks left, 0 to 1.

        Measured from the whole search, a short one would be over for networks before any was proposed: first come their
        starts, a supernet, and the turns by which the closed forms make up for these.

        Parameters
        ----------
        limits
            Of the run, less what comes after the trials.
        known
            Numbers of the finished trials, ascending.
        running
            How many are under way.
        """
        if self._first is None:
            self._first = self._first_proposed()
        if (first := self._first) is None:  # so it is at every draw until the first
            self._proposing_since = time.monotonic()
            return 0.0
        after = bisect_left(known, first)
        return limits.progress(len(known) + running, after=after, since=self._proposing_since)

    def _first_proposed(self) -> int | None:
        """Give the number of the first network that a strategy proposed; None where none was."""
        if GNN not in self._space.families:
            return None
        trials = sorted(Tally.of(self._journal).all(GNN), key=lambda trial: trial.number)
        drawn = (trial.number for trial in trials if REJECTED not in trial.user_attrs)
        return next(islice(drawn, len(self._space.families[GNN].starts), None), None)

    def tunings(self, family: str, progress: float) -> list[Tuning]:
        """Say what a draw is to tune, and what else where that has nothing feasible: the best architectures in turn.

        None in the first phase, and where a family has no phases.

        Parameters
        ----------
        family
            Whose turn it is.
        progress
            As :meth:`progress` says.
        """
        if family != GNN or progress < FIRST_SHARE:
            return []
        genes = self._space.families[family].genes
        free = free_genes(genes)
        if not free or len(free) == sum(not gene.single() for gene in genes.values()):
            return []
        running: Counter[str] = Counter()
        for trial in Tally.of(self._journal).all(family):
            if trial.number not in self._weighed:
                self._weigh(trial, free, self._drawn if trial.state.is_finished() else running)
        best = self._best
        first = sorted(best, key=lambda key: best[key][:2], reverse=True)[:TUNED]
        in_turn = sorted(first, key=lambda key: self._drawn[key] + running[key])  # of equals the best
        return [Tuning(dict(best[key][2].params), free) for key in in_turn]

    def _weigh(self, trial: FrozenTrial, free: tuple[str, ...], drawn: Counter[str]) -> None:
        """Count a trial as drawn of its architecture, and hold it against the best of that once it has ended."""
        key, facts = self._architecture(trial, free), trial.user_attrs
        drawn[key] += facts.get(PHASE) == HYPERPARAMETERS
        if not trial.state.is_finished():
            return
        self._weighed.add(trial.number)
        # What repeats another is worth what that is, and does not say whether it broke a constraint.
        is_own = records.INFEASIBLE not in facts and records.DUPLICATE_OF not in facts
        if key and trial.state == TrialState.COMPLETE and is_own:
            sign = 1 if self._journal.directions[0] == StudyDirection.MAXIMIZE else -1
            own = (sign * trial.values[0], -trial.number, trial)
            self._best[key] = max(self._best.get(key, own), own, key=lambda one: one[:2])

    def _architecture(self, trial: FrozenTrial, free: tuple[str, ...]) -> str:
        """Name the architecture of a trial: the key that it has with every free gene at one value.

        Empty where its genes are others, as those of a trial of an earlier version may be.
        """
        genes = self._space.families[GNN].genes
        if set(trial.params) != set(genes):
            return ""
        point = {**trial.params, **{gene: first_value(genes[gene]) for gene in free}}
        return self._space.read(GNN, point).key()
