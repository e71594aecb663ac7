"""Phases of a search: architectures first, then the hyperparameters of the best of them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from toy_study import ToySlot, go, interrupt, make_dataset

from gnas_search.architecture import ArchitectureSpec
from gnas_search.report import render
from gnas_search.slots import Result
from gnas_search.space import SearchSpace, Value
from gnas_search.space.points import Point
from gnas_search.strategies import STRATEGIES
from gnas_search.strategies.tally import FAMILY
from gnas_search.study import Limits, Objectives, Study, leaderboard, records
from gnas_search.study.draws import Draws
from gnas_search.study.journal import open_journal
from gnas_search.study.own_journal import begin_trial, end_trial
from gnas_search.study.phases import ARCHITECTURE, FIRST_SHARE, HYPERPARAMETERS, START, TUNED, Phases, free_genes

RATES = {"low": 0.001, "high": 0.1, "log": True}
SPACE: dict[str, Any] = {
    "genes": {
        "num_layers": [1, 2, 3],
        "operator": ["gcn", "lightgcn"],
        "embedding_dim": [8, 16, 32],
        "learning_rate": RATES,
        "dropout": [0.0, 0.2],
    },
    "start": [{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16, "learning_rate": 0.03}],
}
TRIALS = 20


def space(**changes: Any) -> SearchSpace:
    return SearchSpace.from_json({**SPACE, **changes})


def body(spec: ArchitectureSpec) -> tuple[Any, ...]:
    """What is left of a network without what the second phase varies."""
    return tuple(layer.operators for layer in spec.layer_specs), spec.embedding_dim


def networks(study: Study) -> list[tuple[str, ArchitectureSpec]]:
    found = []
    for trial in study.trials:
        assert isinstance(trial.spec, ArchitectureSpec)
        found.append((trial.phase, trial.spec))
    return found


def test_what_is_free_is_how_a_network_is_trained() -> None:
    genes = space().restrict(make_dataset()).families["gnn"].genes
    assert set(free_genes(genes)) == {"learning_rate", "layer.0.dropout", "layer.1.dropout", "layer.2.dropout"}


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"grid"}))
def test_the_last_part_tunes_the_best_architectures(strategy: str, tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=TRIALS, space=space(), strategy=strategy)
    found = networks(study)
    first = [spec for phase, spec in found if phase == ARCHITECTURE]
    assert found.pop(0)[0] == START
    second = [spec for phase, spec in found if phase == HYPERPARAMETERS]
    assert [phase for phase, _ in found] == [ARCHITECTURE] * len(first) + [HYPERPARAMETERS] * len(second)
    assert len(second) >= TRIALS - FIRST_SHARE * TRIALS - 1
    # The toy slot likes few layers and many dims; what is tuned are the best three bodies of the first phase.
    best: list[tuple[Any, ...]] = []
    for trial, _ in study.ranking:
        assert isinstance(trial.spec, ArchitectureSpec)
        if trial.phase != HYPERPARAMETERS and body(trial.spec) not in best:
            best.append(body(trial.spec))
    assert {body(spec) for spec in second} == set(best[:TUNED])
    counts = [sum(body(spec) == one for spec in second) for one in best[:TUNED]]
    assert max(counts) - min(counts) <= 1  # in turn
    assert len({spec.key() for spec in second}) > TUNED
    assert len({spec.learning_rate for spec in second}) > 1
    board = leaderboard(study)
    tuned = {row["trial"] for row in board["rows"] if "tuned" in row["remark"]}
    assert tuned == {trial.number for trial, _ in study.ranking if trial.phase == HYPERPARAMETERS}
    page = render(study)
    assert "second phase: the best networks are tuned" in page
    assert f"of which for the hyperparameters of the best {TUNED} networks" in page


class LossSlot(ToySlot):
    """Tells of each model a loss, the less the better, as the judge of a study does."""

    def result(self) -> Result:
        found = super().result()
        losses = 1.0 - found.users.ndcg
        return replace(found, users=replace(found.users, judged=-losses, values={"log_loss": float(losses.mean())}))


def test_where_less_is_better_the_best_are_those_of_the_least(tmp_path: Path) -> None:
    loss = Objectives.of(["log_loss"])
    study = go(tmp_path / "study", trials=TRIALS, space=space(), strategy="random", slots=LossSlot(), objectives=loss)
    first = [trial for trial, _ in study.ranking if trial.phase != HYPERPARAMETERS]
    best = list(dict.fromkeys(body(trial.spec) for trial in first if isinstance(trial.spec, ArchitectureSpec)))
    assert best[0] == min(best, key=lambda one: (len(one[0]), -one[1]))
    tuned = {body(spec) for phase, spec in networks(study) if phase == HYPERPARAMETERS}
    assert tuned == set(best[:TUNED])


def test_what_is_being_tuned_counts_as_drawn_once() -> None:
    restricted = space().restrict(make_dataset())
    family = restricted.families["gnn"]
    journal = optuna.create_study(direction="maximize")
    phases = Phases(journal, restricted)
    start = family.encode(family.starts[0])
    wide, narrow = ({**start, "embedding_dim": dims} for dims in (32, 8))

    def begin(point: Point, phase: str) -> int:
        facts = {FAMILY: "gnn", records.SPEC: family.to_spec(point).to_json(), records.PHASE: phase}
        return begin_trial(journal, point, family.genes, facts).number

    def order() -> list[Value]:
        return [tuning.base["embedding_dim"] for tuning in phases.tunings("gnn", 1.0)]

    assert order() == []
    end_trial(journal, begin(wide, ARCHITECTURE), [0.9])
    end_trial(journal, begin(narrow, ARCHITECTURE), [0.8])
    assert order() == [32, 8]
    first = begin({**wide, "learning_rate": 0.01}, HYPERPARAMETERS)
    assert order() == order() == [8, 32]  # while it runs
    end_trial(journal, first, [0.5])
    assert order() == order() == [8, 32]
    begin({**narrow, "learning_rate": 0.01}, HYPERPARAMETERS)
    assert order() == order() == [32, 8]


def test_an_architecture_that_has_nothing_feasible_to_tune_holds_up_no_other(tmp_path: Path) -> None:
    other_rates = [{"operator": "gcn", "learning_rate": ends} for ends in ({"low": 0.01000001}, {"high": 0.00999999})]
    start = {"layers": ["gcn"], "embedding_dim": 32, "learning_rate": 0.01}
    tight = SearchSpace.from_json({**SPACE, "start": [start], "forbid": other_rates})
    study = go(tmp_path / "study", trials=TRIALS, space=tight, strategy="random")
    assert len([trial for trial in study.trials if trial.state == "complete"]) == TRIALS
    best = study.ranking[0][0].spec
    assert isinstance(best, ArchitectureSpec)
    assert body(best) == ((("gcn",),), 32)  # the best of all, of which the start's rate alone is allowed
    feasible = [trial for trial in study.trials if trial.state == "complete" and trial.phase == HYPERPARAMETERS]
    tuned = {body(trial.spec) for trial in feasible if isinstance(trial.spec, ArchitectureSpec)}
    assert len(tuned) == TUNED - 1
    assert body(best) not in tuned
    assert len(feasible) >= TRIALS - FIRST_SHARE * TRIALS - 1


def test_in_a_search_of_all_families_networks_have_both_phases(tmp_path: Path) -> None:
    whole = SearchSpace.load("standard")
    starts = len(whole.restrict(make_dataset()).families["gnn"].starts)
    study = go(tmp_path / "study", trials=TRIALS, space=whole, strategy="random")
    phases = [trial.phase for trial in study.trials if trial.kind == "gnn"]
    assert len(phases) == TRIALS / 2
    proposed = phases[starts:]
    assert proposed.count(ARCHITECTURE) == pytest.approx(FIRST_SHARE * len(proposed), abs=1)
    assert proposed == [ARCHITECTURE] * proposed.count(ARCHITECTURE) + [HYPERPARAMETERS] * proposed.count(
        HYPERPARAMETERS
    )


def test_by_time_the_phases_begin_with_the_first_network_that_is_proposed(tmp_path: Path) -> None:
    go(tmp_path / "study", trials=1, space=space())
    now = time.monotonic()
    limits = Limits(None, now + 30.0, 20.0, 60.0, now - 30.0)
    restricted = space().restrict(make_dataset())

    def draws() -> Draws:
        journal = open_journal(tmp_path / "study", create=False)
        return Draws(journal, restricted, "random", 0, share_time=True)

    before = draws()
    assert before.progress(limits, 0) == 0.0  # half of the time went to a start
    go(tmp_path / "study", trials=2)
    now_known = before.tried.known()
    assert len(now_known) == 2
    assert before.progress(limits, 0) < 0.1
    again = draws()  # a run that finds one has had its starts
    assert again.progress(limits, 0) == pytest.approx(0.5, abs=0.05)


def test_killed_in_either_phase_a_study_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = networks(go(tmp_path / "whole", trials=TRIALS, space=space()))
    folder = tmp_path / "part"
    for at in (4, 7, 4):  # jobs of each run
        with pytest.raises(KeyboardInterrupt):
            go(folder, trials=TRIALS, space=space(), slots=ToySlot({at: interrupt}))
    study = go(folder, trials=TRIALS)
    done = [(trial.phase, trial.spec) for trial in study.trials if trial.state in ("complete", "duplicate")]
    assert done == whole


def test_a_space_of_one_kind_of_gene_has_one_phase(tmp_path: Path) -> None:
    genes = {"num_layers": [2], "operator": ["lightgcn"], "learning_rate": RATES}
    only_rates = space(genes=genes, start=[{"layers": ["lightgcn", "lightgcn"]}])
    assert {phase for phase, _ in networks(go(tmp_path / "rates", trials=6, space=only_rates))} == {START, ARCHITECTURE}
    genes = {name: gene for name, gene in SPACE["genes"].items() if name not in ("learning_rate", "dropout")}
    bodies = space(genes=genes, start=[{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16}])
    assert {phase for phase, _ in networks(go(tmp_path / "bodies", trials=6, space=bodies))} == {START, ARCHITECTURE}


def test_grid_has_one_phase(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=TRIALS, space=space(), strategy="grid")
    assert {phase for phase, _ in networks(study)} == {START, ARCHITECTURE}


def test_where_tuning_has_nothing_new_the_whole_space_goes_on(tmp_path: Path) -> None:
    genes = {**SPACE["genes"], "learning_rate": [0.01, 0.03]}
    del genes["dropout"]
    small = space(genes=genes)  # 28 bodies of 3 dims at most, two rates: six trainings are all there is to tune
    study = go(tmp_path / "study", trials=30, space=small, strategy="random")
    measured = [trial for trial in study.trials if trial.state == "complete"]
    assert len(measured) == 30
    assert sum(trial.phase == HYPERPARAMETERS for trial in measured) <= 2 * TUNED
    last = max(trial.number for trial in study.trials if trial.phase == HYPERPARAMETERS)
    assert any(trial.phase == ARCHITECTURE for trial in study.trials if trial.number > last) or last == 29


def test_progress_is_by_trials_or_time_whichever_is_further() -> None:
    now = time.monotonic()
    assert Limits(10, None).progress(4) == 0.4
    assert Limits(10, None).progress(4, after=2) == 0.25
    assert Limits(10, None).progress(12) == Limits(10, None).progress(12, after=10) == 1.0
    assert Limits(None, None).progress(5) == 0.0
    half = Limits(None, now + 30.0, 20.0, 60.0, now - 30.0)
    assert half.progress(0) == pytest.approx(0.5, abs=0.01)
    assert half.progress(0, since=now - 10.0) == pytest.approx(0.25, abs=0.01)
    assert Limits(10, now + 30.0, 20.0, 60.0, now - 30.0).progress(9) == 0.9
    # Of the time until the blend.
    assert half.reserving(12.0).progress(0) == pytest.approx(30 / 48, abs=0.01)
    assert Limits.of(None, 60.0).reserving(12.0).progress(0) == pytest.approx(0.0, abs=0.01)
