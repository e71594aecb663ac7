"""No single slow architecture uses up a budget, and what was cut too early does not mislead the strategy."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from random_graph import random_graph
from toy_study import Ledger, ToySlot, go, keys, make_dataset, small_space

from gnas_search.bootstrap import Interval
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.expected_cost import Forecast
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.specs import kind_of
from gnas_search.study import Limits, Measurement, Study, leaderboard, pick, records, status
from gnas_search.study.beginning import begin
from gnas_search.study.draws import Draws
from gnas_search.study.driver import run
from gnas_search.study.journal import open_journal
from gnas_search.study.notes import notes
from gnas_search.study.put_off import PutOff
from gnas_search.study.reserve import Reserve

UNSEARCHED = (
    "no network was searched for: those tried are the starts of the space; give a longer --budget or more --trials"
)


class SlowSlot(ToySlot):
    """Ends every job at its limit, after so many epochs."""

    def __init__(self, *epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def result(self) -> Result:
        done = self.epochs[min(len(self.jobs), len(self.epochs)) - 1]
        history = tuple(EpochResult(epoch, 0.5, 0.1, 0.01) for epoch in range(1, done + 1))
        stopped = "epochs" if done == 12 else "deadline"
        return replace(super().result(), best_epoch=done, history=history, stopped=stopped)


def search(folder: Path, *epochs: int, trials: int, watcher: Ledger | None = None) -> Study:
    if not folder.exists():
        begin(folder, make_dataset(), space=small_space(), strategy=None, seed=None)
    return run(folder, make_dataset(), watcher or Ledger(), limits=Limits.of(trials, 600.0), slots=SlowSlot(*epochs))


def test_a_trial_gets_a_third_of_the_budget_at_most(tmp_path: Path) -> None:
    assert Limits.of(None, 60.0).trial_s == 20.0
    assert Limits.of(5, None).trial_s is None
    slot = ToySlot()
    begin(tmp_path / "study", make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
    run(tmp_path / "study", make_dataset(), Ledger(), limits=Limits.of(None, 60.0), slots=slot)
    assert slot.jobs[0].limit_s == 20.0
    deadline = slot.jobs[0].deadline
    assert deadline is not None
    assert deadline - time.monotonic() > 40.0


def test_time_is_left_for_the_blend_at_the_end() -> None:
    now = float(round(time.monotonic()))  # whole seconds are added exactly
    limits = Limits(None, now + 100.0, 30.0, 120.0)
    assert limits.reserving(5.0) == Limits(None, now + 95.0, 30.0, 120.0)
    deadline = limits.reserving(1000.0).deadline
    assert deadline is not None
    assert deadline - now == pytest.approx(60.0)  # a third of the budget at most, however much of it is gone
    assert Limits(4, None).reserving(1000.0) == Limits(4, None)


def measured(ndcg: float, seconds: float, *epochs: tuple[float, float]) -> Measurement:
    history = tuple({"epoch": 1, "seconds": whole, "train_s": train} for whole, train in epochs)
    one = Interval(ndcg, ndcg, ndcg)
    return Measurement(one, one, seconds, 0, history=history)


def trial_of(kind: str) -> records.Trial:
    spec = SearchSpace.load("quick").families[kind].starts[0]
    return records.Trial(0, "complete", spec, spec.key(), None, "random", None, "")


def test_the_blend_is_expected_to_take_as_long_as_the_best_of_each_kind(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=1, space=small_space())
    reserve = Reserve(study, 60)
    parts = {kind_of(one.spec): one.measured.seconds for one in study.baselines}
    quickest = min(parts.values())
    validation_s = 0.005  # of the toy network: the rest of its epochs is training, which is not done again
    assert reserve.blend_s == pytest.approx(2 * (sum(parts.values()) + validation_s) + 30 * quickest)
    # Where more users decide than those that the estimate was made of, it grows with them.
    assert Reserve(study, 16384).blend_s == pytest.approx(reserve.blend_s + 30 * quickest)
    before = reserve.blend_s
    reserve.hear(trial_of("filter"), measured(0.0001, 50.0))  # worse than the one before: no part of the blend
    assert reserve.blend_s == before
    reserve.hear(trial_of("filter"), measured(0.99, 50.0))
    assert reserve.blend_s == pytest.approx(before + 2 * (50.0 - parts["filter"]))
    before = reserve.blend_s
    reserve.hear(trial_of("gnn"), measured(0.99, 1000.0, (10.0, 7.0), (10.0, 9.0)))
    assert reserve.blend_s == pytest.approx(before + 2 * (2.0 - validation_s))


def test_what_the_blend_takes_is_estimated_anew_at_every_trial(tmp_path: Path) -> None:
    """A wide filter found on the way makes the blend long, and the trials end earlier."""
    folder, watcher = tmp_path / "study", Ledger()

    class Wide(ToySlot):
        def result(self) -> Result:
            return replace(super().result(), seconds=4.0)

    begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
    given = Limits.of(2, 60.0)
    study = run(folder, make_dataset(), watcher, limits=given, slots=Wide())
    assert [trial.kind for trial in study.trials] == ["filter", "two-hop"]
    first, second = watcher.deadlines
    assert given.deadline is not None
    assert first is not None
    assert second is not None
    simple = [one.measured.seconds for one in study.baselines]
    assert given.deadline - first == pytest.approx(min(20.0, 2 * sum(simple) + 30 * min(simple)), abs=0.01)
    assert 7.0 < first - second < 8.1
    assert watcher.expected_s == [pytest.approx(Reserve(study, 60).blend_s)]
    assert watcher.expected_s[0] > 8.0


class TestClosedFormsThatOutlastTheTime:
    """Nothing stops a closed form that has begun."""

    WIDE: ClassVar = {
        "filter": {
            "genes": {"rank": [8, 16]},
            "fixed": {"response": "ideal"},
            "start": [{"rank": 8, "response": "ideal"}],
        },
        "two-hop": {"genes": {"neighbours": [5, 10, 20, 40]}, "start": [{"neighbours": 5}]},
    }

    def go(self, folder: Path, limits: Limits, seconds: float) -> tuple[Study, ToySlot]:
        class Slow(ToySlot):
            def result(self) -> Result:
                filters = kind_of(self.jobs[-1].spec) == "filter"
                return replace(super().result(), seconds=seconds if filters else 0.1)

        if not folder.exists():
            begin(folder, make_dataset(), space=SearchSpace.from_json(self.WIDE), strategy=None, seed=None)
        slot = Slow()
        return run(folder, make_dataset(), Ledger(), limits=limits, slots=slot), slot

    def test_they_are_left_to_the_next_run_and_others_take_the_time(self, tmp_path: Path) -> None:
        study, slot = self.go(tmp_path / "study", Limits.of(None, 60.0), 1000.0)
        assert [kind_of(job.spec) for job in slot.jobs].count("filter") == 1  # the first: nothing was known of it
        assert [kind_of(job.spec) for job in slot.jobs].count("two-hop") == 4
        lost = [trial for trial in study.trials if trial.state == "interrupted"]
        assert [trial.kind for trial in lost] == ["filter"]
        again, slot = self.go(tmp_path / "study", Limits.of(None, 30000.0), 1000.0)
        assert [job.spec.key() for job in slot.jobs] == [lost[0].key]
        assert status(again)["trials"]["complete"] == 6

    def test_where_trials_are_counted_nothing_is_put_off(self, tmp_path: Path) -> None:
        study, _ = self.go(tmp_path / "study", Limits.of(6, None), 1e9)
        assert {trial.state for trial in study.trials} <= {"complete", "duplicate"}
        assert status(study)["trials"]["complete"] == 6

    def test_what_they_take_grows_with_columns_and_edges(self, tmp_path: Path) -> None:
        graph = random_graph(3000, 2000, 4)
        graph = InteractionGraph(graph.positives, random_graph(3000, 2000, 24).positives)
        study, _ = self.go(tmp_path / "study", Limits.of(1, None), 10.0)
        known = PutOff(graph, study)
        baselines = {one.name: one.measured.seconds for one in study.baselines}
        assert known.expected_s(TwoHopSpec(neighbours=100)) == baselines["item-knn"]
        assert known.expected_s(FilterSpec(rank=16)) == known.expected_s(FilterSpec(rank=512)) == 10.0
        assert known.expected_s(FilterSpec(rank=1536)) == 90.0
        ratio = graph.edges.nnz / graph.positives.nnz
        assert known.expected_s(FilterSpec(rank=16, edges="all")) == pytest.approx(10.0 * ratio)
        assert known.expected_s(small_space().families["gnn"].starts[0]) == 0.0
        known.hear(FilterSpec(rank=1024), 15.0)
        assert known.expected_s(FilterSpec(rank=1536)) == pytest.approx(15.0 * 2.25)  # of the nearest
        assert known.expected_s(FilterSpec(rank=16)) == 10.0
        known.hear(TwoHopSpec(neighbours=5), 50.0)
        assert known.expected_s(TwoHopSpec(neighbours=100)) == 50.0


@pytest.mark.parametrize("earlier", [1, 2, 3])
def test_time_that_earlier_runs_spent_counts_in_whose_turn_it_is(tmp_path: Path, earlier: int) -> None:
    """After a filter the two-hop model is next; after both the network, which has had least of its share even then."""
    go(tmp_path / "study", trials=earlier)
    watcher = Ledger()
    run(tmp_path / "study", make_dataset(), watcher, limits=Limits.of(earlier + 1, 600.0), slots=ToySlot())
    assert watcher.started == ["two-hop" if earlier == 1 else "gnn"]


class TestNotes:
    def test_a_family_without_a_measured_trial_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "study"
        begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
        assert notes(Study.load(folder)) == []  # no run has worked on it yet
        go(folder, trials=1)
        study = Study.load(folder)
        assert study.forecast is not None
        hops, network = notes(study)
        assert hops == "no two-hop model was tried: give a longer --budget or more --trials"
        assert network == "no network was tried: give a longer --budget or more --trials"
        assert leaderboard(study)["notes"] == status(study)["notes"] == [hops, network]
        assert notes(go(folder, trials=2)) == [network]  # whatever the kernels took this time
        slow = Study.load(folder)
        monkeypatch.setattr(Study, "forecast", property(lambda _: Forecast(23.4, 1 << 30)))
        said = "no network was tried: one epoch takes about 23 s; give a longer --budget or more --trials"
        assert notes(slow) == [said]
        monkeypatch.undo()
        assert notes(go(folder, trials=4)) == [UNSEARCHED]

    def test_where_no_network_was_chosen_it_is_said(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=1, space=small_space())
        assert notes(study) == [UNSEARCHED]
        assert notes(go(tmp_path / "study", trials=2)) == []

    def test_a_space_that_was_tried_whole(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=50, space=small_space())
        assert len(study.ranking) == small_space().size()
        assert notes(study) == ["every model of the space was tried"]
        assert status(study)["notes"] == notes(study)

    def test_simple_models_that_find_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        study = go(tmp_path / "study", trials=2, space=small_space())
        nothing = tuple(
            replace(one, measured=replace(one.measured, ndcg=Interval(0.0, 0.0, 0.0))) for one in study.baselines
        )
        monkeypatch.setattr(Study, "baselines", property(lambda _: nothing))
        (said,) = notes(study)
        assert said.startswith("no simple model finds a held-out item of anybody")

    def test_a_family_that_the_space_lacks_is_not_missed(self, tmp_path: Path) -> None:
        assert notes(go(tmp_path / "study", trials=2, space=small_space())) == []

    def test_a_family_whose_trials_all_failed(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("no memory")

        folder = tmp_path / "study"
        study = go(folder, trials=1, space=small_space(), slots=ToySlot({0: fail}))
        assert notes(study) == ["no network was measured: its only trial failed"]
        study = go(folder, trials=2, slots=ToySlot({0: fail}))
        assert notes(study) == ["no network was measured: all 2 trials failed"]
        assert notes(go(folder, trials=3)) == []

    def test_no_forecast_for_a_cuda_device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would be made on the CPU, which does not train then."""
        watcher = Ledger()
        with monkeypatch.context() as patched:
            patched.setattr("gnas_search.study.simple_models.default_device", lambda: torch.device("cuda"))
            study = go(tmp_path / "study", trials=1, watcher=watcher)
        assert (watcher.forecasts, study.forecast) == ([], None)
        assert "no network was tried: give a longer --budget or more --trials" in notes(study)
        go(tmp_path / "study", trials=2, watcher=watcher)
        assert len(watcher.forecasts) == 1


def test_a_finished_trial_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or every draw of a long study takes longer than the one before."""
    study = go(tmp_path / "study", trials=6)
    space = study.header.space.restrict(make_dataset())
    draws = Draws(open_journal(study.folder, create=False), space, "tpe", 0, share_time=False)
    first = dict(draws.tried.known())
    assert sorted(first) == sorted(keys(study))
    monkeypatch.setattr(records, "branch_spec", lambda raw: pytest.fail("read again"))
    again = draws.tried.known()
    assert {key: trial.number for key, trial in again.items()} == {key: trial.number for key, trial in first.items()}


def test_a_trial_cut_before_a_quarter_of_its_epochs_is_kept_but_not_learned_from(tmp_path: Path) -> None:
    watcher = Ledger()
    study = search(tmp_path / "study", 12, 2, 3, trials=3, watcher=watcher)  # of 12 epochs
    assert watcher.trials == [(0, "complete"), (1, "cut"), (2, "complete")]
    assert status(study)["trials"]["cut"] == 1
    remarks = {row["trial"]: row["remark"] for row in leaderboard(study)["rows"] if row["kind"] == "gnn"}
    assert set(remarks) == {0, 1, 2}
    assert remarks[1].endswith("cut 2/12")
    assert remarks[2].endswith("budget ended")
    assert remarks[0] in {"", "verdict"}
    assert leaderboard(study)["failed"] == []
    assert pick(study, "1") == study.trials[1].spec
    told = [trial.value for trial in study._journal.get_trials(deepcopy=False)]
    assert told[1] is None
    assert not any(value is None or math.isnan(value) for value in (told[0], told[2]))


def test_a_cut_trial_counts_and_is_not_tried_again(tmp_path: Path) -> None:
    first = search(tmp_path / "study", 1, trials=1)
    assert [trial.state for trial in first.trials] == ["cut"]
    again = go(tmp_path / "study", trials=2)
    assert [trial.state for trial in again.trials] == ["cut", "complete"]
    assert again.trials[0].key not in keys(again)


def test_a_cut_result_that_was_written_but_not_told_is_told_as_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(optuna.storages.JournalStorage, "set_trial_state_values", die)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "study", 1, trials=1)
    assert [trial.state for trial in go(tmp_path / "study", trials=1).trials] == ["cut"]
