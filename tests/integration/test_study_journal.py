"""A study's journal is Optuna's: optuna-dashboard, which knows nothing of the rest of the folder, reads every trial."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from toy_study import ToySlot, go, interrupt, make_dataset

from gnas_search.data.dataset import Dataset
from gnas_search.data.splits import load_dataset
from gnas_search.space import SearchSpace
from gnas_search.strategies.tally import family_of
from gnas_search.study import Objectives, Study

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
WITH_VALUES = ("complete", "stopped", "infeasible")


def read(folder: Path) -> tuple[list[StudyDirection], list[FrozenTrial]]:
    """Read a journal as optuna-dashboard does."""
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    (study,) = storage.get_all_studies()
    return list(study.directions), storage.get_all_trials(study._study_id)


def check(folder: Path, dataset: Dataset, *directions: StudyDirection) -> Counter[str]:
    """Hold what a reader sees against what the study says; give how many trials there are of each state."""
    study, before = Study.load(folder), (folder / "journal.log").read_bytes()
    found, read_trials = read(folder)
    space, objectives = study.header.space.restrict(dataset), study.header.objectives.names
    assert found == list(directions)
    assert [trial.number for trial in study.trials] == [trial.number for trial in read_trials]
    for ours, theirs in zip(study.trials, read_trials, strict=True):
        family = family_of(theirs)
        assert theirs.distributions == space.families[family].genes
        for name, gene in theirs.distributions.items():
            assert gene._contains(gene.to_internal_repr(theirs.params[name]))
        assert space.read(family, theirs.params).key() == ours.key
        json.dumps([theirs.user_attrs, theirs.system_attrs], allow_nan=False)
        assert theirs.datetime_start is not None
        assert theirs.datetime_complete is not None
        if ours.duplicate_of is not None:
            twin = read_trials[ours.duplicate_of]
            assert (theirs.state, theirs.values) == (twin.state, twin.values)
            continue
        assert theirs.state == (TrialState.COMPLETE if ours.state in WITH_VALUES else TrialState.FAIL)
        if ours.state == "infeasible":
            assert theirs.values == [0.0]
        elif ours.measured is not None:
            assert theirs.values == [ours.measured.value_of(name) for name in objectives]
        else:
            assert theirs.values is None
    assert (folder / "journal.log").read_bytes() == before
    return Counter(trial.state for trial in study.trials)


def test_a_search_of_the_command_line(shop: Path, made: Path) -> None:
    dataset = load_dataset(shop, Study.load(made).header.config)
    assert check(made, dataset, MAXIMIZE)["complete"] > 0
    assert {family_of(trial) for trial in read(made)[1]} == {"filter", "gnn", "two-hop"}


def test_trials_that_came_to_nothing(tmp_path: Path) -> None:
    """One that was stopped, one that failed, points that break a rule and models that were known."""
    genes = {"num_layers": [1, 2], "operator": ["gcn", "gin", "lightgcn"], "embedding_dim": [8, 16]}
    start = [{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16}]
    space = SearchSpace.from_json({"genes": genes, "start": start, "forbid": [{"operator": "gin"}]})
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "study", trials=6, space=space, strategy="tpe", slots=ToySlot({1: interrupt}))
    go(tmp_path / "study", trials=6, slots=ToySlot({2: fail}))
    states = check(tmp_path / "study", make_dataset(), MAXIMIZE)
    assert all(states[state] for state in ("complete", "duplicate", "failed", "infeasible", "interrupted"))


def test_several_objectives(tmp_path: Path) -> None:
    objectives = Objectives.of(["ndcg@20", "latency_us"])
    go(tmp_path / "study", trials=5, objectives=objectives)
    assert check(tmp_path / "study", make_dataset(), MAXIMIZE, MINIMIZE)["complete"] == 5


def fail() -> None:
    raise ValueError("a bug")
