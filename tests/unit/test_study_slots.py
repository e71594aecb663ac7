"""Several slots: trials run side by side, the journal has one writer, and what ends one trial ends no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import Ledger, ToySlot, go, interrupt, keys, make_dataset, small_space

from gnas_search.architecture import ArchitectureSpec
from gnas_search.epoch import EpochResult
from gnas_search.slots import Event, Failure, Job, Result
from gnas_search.space import SearchSpace
from gnas_search.specs import BranchSpec
from gnas_search.study import LastRun, Limits, Study, leaderboard, pick, status
from gnas_search.study.draws import Draws
from gnas_search.study.driver import run
from gnas_search.study.journal import WriterLock, open_journal
from gnas_serve.errors import ConfigError


class ToySlots(ToySlot):
    """Several toy slots, each of which says something in turn."""

    def __init__(self, count: int, **mischief: Any) -> None:
        super().__init__(**mischief)
        self.count = count
        self.places: dict[int, ToySlot] = {}
        self.most = 0
        self.turn = 0
        self.begun_beside: list[int] = []

    def start(self, place: int, job: Job) -> None:
        assert place not in self.places
        one = ToySlot()
        one.start(0, job)
        self.jobs.append(job)
        self.places[place] = one
        self.most = max(self.most, len(self.places))
        if len(self.places) == 2:
            self.begun_beside.append(len(self.jobs))

    def wait(self) -> tuple[int, Event]:
        self.mischief.pop(self.turn, lambda: None)()
        self.turn += 1
        place = sorted(self.places)[self.turn % len(self.places)]
        event = self.places[place].wait()[1]
        if not isinstance(event, EpochResult):
            del self.places[place]
        return place, event

    def reply(self, place: int, *, go_on: bool) -> None:
        self.places[place].reply(0, go_on=go_on)


def test_as_many_trials_run_as_there_are_slots(tmp_path: Path) -> None:
    slots, watcher = ToySlots(3), Ledger()
    study = go(tmp_path / "study", trials=10, slots=slots, watcher=watcher)
    assert slots.most == 3
    assert slots.closed
    assert status(study)["trials"]["complete"] == 10  # neither more nor fewer
    assert sorted(number for number, _ in watcher.trials) == list(range(len(study.trials)))
    assert len(set(keys(study))) == 10


def test_a_model_that_is_being_trained_is_not_trained_beside_it(tmp_path: Path) -> None:
    """Of twelve networks, all are found, each once, and the search ends by itself."""
    slots = ToySlots(4)
    study = go(tmp_path / "study", trials=None, slots=slots, space=small_space())
    trained = [job.spec.key() for job in slots.jobs if job.seed == 0]  # from other seeds are finalists
    assert len(trained) == len(set(trained)) == 12
    assert status(study)["trials"]["complete"] == 12


def test_finalists_are_trained_side_by_side(tmp_path: Path) -> None:
    slots, watcher = ToySlots(2), Ledger()
    study = go(tmp_path / "study", trials=None, slots=slots, watcher=watcher, space=small_space())
    assert watcher.chosen == [(2, 2)]  # of twelve networks a fifth
    assert {job.spec.key() for job in slots.jobs if job.seed} == {one.trial.key for one in study.finalists}
    assert slots.jobs[-1].seed == slots.jobs[-2].seed == 1
    assert slots.begun_beside[-1] == len(slots.jobs)  # the last one was begun beside another


def test_what_is_being_tried_is_left_to_nobody_else(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=11, space=small_space())
    space = small_space().restrict(make_dataset())
    draws = Draws(open_journal(study.folder, create=False), space, "tpe", 0, share_time=False)
    assert len(draws.tried.known()) == 11
    assert not draws.is_exhausted("gnn", 0)
    assert draws.is_exhausted("gnn", 1)


def test_interrupted_all_that_was_running_is_tried_again(tmp_path: Path) -> None:
    slots = ToySlots(3, mischief={7: interrupt})
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "study", trials=12, slots=slots)
    assert slots.closed
    stopped = Study.load(tmp_path / "study")
    lost = [trial.key for trial in stopped.trials if trial.state == "interrupted"]
    assert len(lost) == 3
    again = go(tmp_path / "study", trials=12, slots=ToySlots(3))
    assert set(lost) <= set(keys(again))
    assert status(again)["trials"]["complete"] == 12


def test_a_slot_that_dies_costs_one_trial(tmp_path: Path) -> None:
    class Dying(ToySlots):
        def wait(self) -> tuple[int, Event]:
            if self.turn == 5:
                self.turn += 1
                place = min(self.places)
                del self.places[place]
                return place, Failure("the process of its slot was ended by SIGKILL")
            return super().wait()

    study = go(tmp_path / "study", trials=8, slots=Dying(2))
    counts = status(study)["trials"]
    assert (counts["complete"], counts["failed"]) == (7, 1)
    assert [one["reason"] for one in leaderboard(study)["failed"]] == ["the process of its slot was ended by SIGKILL"]


def test_what_had_not_ended_when_the_time_was_up_is_tried_again(tmp_path: Path) -> None:
    class Overdue(ToySlots):
        def wait(self) -> tuple[int, Event]:
            if self.turn == 5:
                self.turn += 1
                place = min(self.places)
                del self.places[place]
                return place, Failure("not ended 120 s after the time was up, and was killed", is_overdue=True)
            return super().wait()

    study = go(tmp_path / "study", trials=8, slots=Overdue(2))
    counts = status(study)["trials"]
    assert (counts["interrupted"], counts["failed"]) == (1, 0)
    lost = [trial.key for trial in study.trials if trial.state == "interrupted"]
    again = go(tmp_path / "study", trials=8, slots=ToySlots(2))
    assert set(lost) <= set(keys(again))
    assert status(again)["trials"]["complete"] == 8


class CrampedSlots(ToySlots):
    """Their memory holds one network at a time."""

    def has_room(self, place: int, spec: BranchSpec) -> bool:
        assert place not in self.places
        beside = [one.jobs[-1].spec for one in self.places.values()]
        return not isinstance(spec, ArchitectureSpec) or not any(isinstance(one, ArchitectureSpec) for one in beside)


def test_what_has_no_room_waits_for_what_is_under_way(tmp_path: Path) -> None:
    class Watched(CrampedSlots):
        def start(self, place: int, job: Job) -> None:
            assert self.has_room(place, job.spec)
            super().start(place, job)

    study = go(tmp_path / "study", trials=None, slots=Watched(3), space=small_space())
    assert status(study)["trials"]["complete"] == 12
    assert len({one.trial.key for one in study.finalists}) == 2
    alone = Watched(3)
    go(tmp_path / "alone", trials=6, slots=alone, space=small_space())
    assert alone.most == 1
    beside = Watched(3)
    ranking = go(tmp_path / "roomy", trials=9, slots=beside).ranking
    assert Counter(trial.kind for trial, _ in ranking) == {"filter": 3, "two-hop": 2, "gnn": 4}
    assert beside.most == 3  # closed forms beside a network


def test_interrupted_what_waited_for_room_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "study", trials=12, slots=CrampedSlots(2, mischief={5: interrupt}), space=small_space())
    lost = [trial.key for trial in Study.load(tmp_path / "study").trials if trial.state == "interrupted"]
    assert len(lost) == 2  # the one under way, and the one that waited
    again = go(tmp_path / "study", trials=12, slots=CrampedSlots(2))
    assert set(lost) <= set(keys(again))
    assert status(again)["trials"]["complete"] == 12


def test_what_waited_until_the_time_was_up_is_left_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = CrampedSlots(2, mischief={4: lambda: monkeypatch.setattr(Limits, "is_late", property(lambda _: True))})
    study = go(tmp_path / "study", trials=12, slots=slots, space=small_space())
    assert status(study)["trials"]["interrupted"] == 1
    assert slots.closed
    monkeypatch.undo()
    assert status(go(tmp_path / "study", trials=12, slots=CrampedSlots(2)))["trials"]["complete"] == 12


class CurveSlot(ToySlot):
    """Trains four epochs; the worse a network is in the end, the worse from the first on."""

    def epochs_of(self, spec: BranchSpec) -> Iterable[EpochResult]:
        if not isinstance(spec, ArchitectureSpec):
            return []
        self.curve = [EpochResult(n, 0.5, n / 4 * (0.2 + spec.embedding_dim / 100), 0.01, 0.005) for n in range(1, 5)]
        return self.curve

    def result(self) -> Result:
        told = self.replies[self.before :]
        stopped = "epochs" if not told or told[-1] or len(told) == 4 else "rung"
        return replace(super().result(), history=tuple(self.curve[: len(told)]), stopped=stopped)

    def start(self, place: int, job: Job) -> None:
        self.before = len(self.replies)
        super().start(place, job)


WIDTHS = {
    "genes": {"embedding_dim": [8, 16, 24, 32, 40, 48, 56, 64]},
    "fixed": {"num_layers": 1, "operator": "gcn", "epochs": 4},
    "start": [{"layers": ["gcn"], "embedding_dim": 32, "epochs": 4}],
}


def test_the_worse_half_is_stopped_at_a_rung(tmp_path: Path) -> None:
    slots = CurveSlot()
    study = go(tmp_path / "study", trials=8, slots=slots, space=SearchSpace.from_json(WIDTHS), strategy="random")
    counts = status(study)["trials"]
    assert counts["stopped"] >= 2
    assert counts["complete"] + counts["stopped"] == 8
    board = leaderboard(study)["rows"]
    stopped = [row for row in board if row["remark"].startswith("stopped")]
    assert {row["remark"] for row in stopped} <= {"stopped 1/4", "stopped 2/4"}
    assert len(stopped) == counts["stopped"]
    widths = {trial.number: trial.spec.embedding_dim for trial in study.trials if trial.spec is not None}  # type: ignore[union-attr]
    assert 64 not in [widths[row["trial"]] for row in stopped]
    assert pick(study, str(stopped[0]["trial"])).embedding_dim == widths[stopped[0]["trial"]]  # type: ignore[union-attr]
    told = [trial.value for trial in study._journal.get_trials(deepcopy=False)]
    assert None not in told  # strategies learn from those that were stopped, too


def test_a_study_gone_on_with_knows_the_rungs(tmp_path: Path) -> None:
    space = SearchSpace.from_json(WIDTHS)
    whole = go(tmp_path / "whole", trials=8, slots=CurveSlot(), space=space)
    folder = tmp_path / "study"
    go(folder, trials=4, slots=CurveSlot(), space=space)
    again = go(folder, trials=8, slots=CurveSlot())
    assert [trial.state for trial in again.trials] == [trial.state for trial in whole.trials]


def test_what_a_refused_run_was_told_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    go(folder, trials=1)
    told = LastRun("/data", 1)
    run(folder, make_dataset(), Ledger(), limits=Limits(1, None), order=told)
    assert LastRun.read(folder) == told
    lock = WriterLock(folder)
    with pytest.raises(ConfigError, match="another search is running"):
        run(folder, make_dataset(), Ledger(), limits=Limits(1, None), order=LastRun("/elsewhere", 9, slots=2))
    lock.release()
    assert LastRun.read(folder) == told
