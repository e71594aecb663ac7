"""A tally says of a study what reading all of its trials anew says, whatever happened since it was last asked."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from gnas_search.strategies.tally import FAMILY, INTERRUPTED, REJECTED, Tally, family_of, interrupted_numbers
from gnas_search.study.own_journal import add_ended, begin_trial, end_trial

LAYERS = CategoricalDistribution([0, 1, 2])
GENES = [{"layers": LAYERS, "rate": FloatDistribution(0.001, high, log=True)} for high in (0.5, 1.0)]
POINT = {"layers": 2, "rate": 0.1}
FAMILIES = ("filter", "gnn")


def counted(study: optuna.Study, family: str) -> list[FrozenTrial]:
    stopped = interrupted_numbers(study)
    return [t for t in study.get_trials(deepcopy=False) if family_of(t) == family and t.number not in stopped]


def check(study: optuna.Study) -> None:
    tally = Tally.of(study)
    drawn: Counter[str] = Counter()
    for family in FAMILIES:
        trials = counted(study, family)
        finished = [trial for trial in trials if trial.state.is_finished()]
        assert tally.finished(family) == finished
        assert sorted(trial.number for trial in tally.all(family)) == [trial.number for trial in trials]
        parts = tally.finished(family, ["rate"])
        assert [part.number for part in parts] == [trial.number for trial in finished]
        for part, trial in zip(parts, finished, strict=True):
            assert part.params == {"rate": trial.params["rate"]}
            assert part.distributions == {"rate": trial.distributions["rate"]}
        begun = [trial for trial in trials if trial.state != TrialState.WAITING]
        drawn[family] = sum(REJECTED not in trial.user_attrs for trial in begun)
    assert {family: tally.drawn()[family] for family in FAMILIES} == drawn


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_in_a_study_it_is_heard_of(seed: int) -> None:
    rng = np.random.default_rng(seed)
    study = optuna.create_study(direction="maximize")
    for _ in range(60):
        running = [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
        family = {FAMILY: str(rng.choice(FAMILIES))}
        point, genes = {"layers": int(rng.integers(3)), "rate": float(rng.uniform(0.01, 0.5))}, GENES[rng.integers(2)]
        event = rng.integers(6)
        if event == 0 and running:  # not always the first that was begun
            end_trial(study, int(rng.choice(running)), [0.5] if rng.random() < 0.7 else None, {"measured": 1})
        elif event == 1:
            add_ended(study, point, genes, {**family, REJECTED: True}, [0.0])
        elif event == 2 and running:
            number = int(rng.choice(running))
            study.set_user_attr(INTERRUPTED, sorted({*interrupted_numbers(study), number}))
            if rng.random() < 0.5:
                check(study)  # marked, and not yet ended
            study.enqueue_trial(point, user_attrs=family)
            end_trial(study, number, None)
        elif event == 3 and any(trial.state == TrialState.WAITING for trial in study.trials):
            study.ask(genes)
        else:
            begin_trial(study, point, genes, family)
        if rng.random() < 0.5:
            check(study)
    check(study)


def test_a_trial_that_is_marked_after_its_end_is_left_out_all_the_same() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        add_ended(study, POINT, GENES[0], {FAMILY: "gnn"}, [0.5])
    check(study)
    study.set_user_attr(INTERRUPTED, [0])
    check(study)
    assert [trial.number for trial in Tally.of(study).finished("gnn")] == [1]


def test_studies_do_not_share_a_tally() -> None:
    first, second = (optuna.create_study(direction="maximize") for _ in range(2))
    add_ended(first, POINT, GENES[0], {FAMILY: "gnn"}, [0.5])
    check(first)
    check(second)
    assert Tally.of(second).drawn()["gnn"] == 0


def test_trials_of_equal_genes_share_them() -> None:
    """So that to compare the genes of all trials is to compare a few objects."""
    study = optuna.create_study(direction="maximize")
    for number in range(6):
        add_ended(study, POINT, deepcopy(GENES[number % 2]), {FAMILY: "gnn"}, [0.5])
    for genes in (None, ["rate"]):
        shared = {id(trial.distributions) for trial in Tally.of(study).finished("gnn", genes)}
        assert len(shared) == 2
