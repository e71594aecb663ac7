"""No single slow architecture uses up a budget, and what was cut too early does not mislead the strategy."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from toy_study import Ledger, ToySlot, go, keys, make_dataset, small_space

from gnas_search.slots import Outcome
from gnas_search.space import SearchSpace
from gnas_search.study import Limits, Study, begin, leaderboard, run, status
from gnas_search.train import EpochResult


class SlowSlot(ToySlot):
    """Ends every job at its limit, after so many epochs."""

    def __init__(self, *epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def result(self) -> Outcome:
        done = self.epochs[min(len(self.jobs), len(self.epochs)) - 1]
        history = tuple(EpochResult(epoch, 0.5, 0.1, 0.01) for epoch in range(1, done + 1))
        stopped = "epochs" if done == 12 else "deadline"
        return replace(super().result(), best_epoch=done, history=history, stopped=stopped)


def search(folder: Path, *epochs: int, trials: int, watcher: Ledger | None = None) -> Study:
    if not folder.exists():
        begin(folder, make_dataset(), space=small_space(), strategy=None, seed=None)
    return run(folder, make_dataset(), watcher or Ledger(), limits=Limits.of(trials, 600.0), slot=SlowSlot(*epochs))


def test_a_trial_gets_a_third_of_the_budget_at_most(tmp_path: Path) -> None:
    assert Limits.of(None, 60.0).trial_s == 20.0
    assert Limits.of(5, None).trial_s is None
    slot = ToySlot()
    begin(tmp_path / "study", make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
    run(tmp_path / "study", make_dataset(), Ledger(), limits=Limits.of(None, 60.0), slot=slot)
    assert slot.jobs[0].limit_s == 20.0
    deadline = slot.jobs[0].deadline
    assert deadline is not None
    assert deadline - time.monotonic() > 40.0


def test_time_is_left_for_the_blend_at_the_end(tmp_path: Path) -> None:
    now = time.monotonic()
    limits = Limits(None, now + 100.0, 30.0)
    assert limits.reserving(5.0) == Limits(None, now + 95.0, 30.0)
    deadline = limits.reserving(1000.0).deadline
    assert deadline is not None
    assert 78.0 < deadline - now < 82.0  # a fifth of what is left at most
    assert Limits(4, None).reserving(1000.0) == Limits(4, None)
    begin(tmp_path / "study", make_dataset(), space=small_space(), strategy=None, seed=None)
    slot = ToySlot()
    given = Limits.of(1, 60.0)
    study = run(tmp_path / "study", make_dataset(), Ledger(), limits=given, slot=slot)
    quickest = min(baseline.measured.seconds for baseline in study.baselines)
    assert given.deadline is not None
    assert slot.jobs[0].deadline == pytest.approx(given.deadline - 25 * quickest, abs=0.01)


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
    assert study.pick("1") == study.trials[1].spec
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
        patched.setattr(optuna.Study, "tell", die)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "study", 1, trials=1)
    assert [trial.state for trial in go(tmp_path / "study", trials=1).trials] == ["cut"]
