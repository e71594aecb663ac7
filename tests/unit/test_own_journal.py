"""A journal as its writer has it: whole records, few syncs, and the same file that Optuna reads."""

from __future__ import annotations

import errno
import gc
import json
import os
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from gnas_search.study import own_journal
from gnas_search.study.journal import JOURNAL, open_journal, writing
from gnas_search.study.own_journal import OwnJournal, add_ended, begin_trial, end_trial, sync
from gnas_serve.errors import IntegrityError, StorageError

GENES = {"layers": CategoricalDistribution([0, 1, 2]), "rate": FloatDistribution(0.001, 1.0, log=True)}
POINT = {"layers": 2, "rate": 0.1}


@pytest.fixture
def journal(tmp_path: Path) -> optuna.Study:
    return open_journal(tmp_path, create=True)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def test_a_trial_is_begun_whole(tmp_path: Path, journal: optuna.Study) -> None:
    before = len(lines(tmp_path))
    trial = begin_trial(journal, POINT, GENES, {"family": "gnn"})
    assert (trial.number, trial.state, trial.params) == (0, TrialState.RUNNING, POINT)
    assert trial.distributions == GENES
    assert len(lines(tmp_path)) == before + 1


def test_others_read_what_the_writer_has(tmp_path: Path, journal: optuna.Study) -> None:
    """Another process, and the writer of the next run; what the writer remembers is what stands in the file."""
    trial = begin_trial(journal, POINT, GENES, {"family": "gnn"})
    end_trial(journal, trial.number, [0.5], {"measured": {"ndcg": 0.5}})
    add_ended(journal, POINT, GENES, {"rejected": True}, None)
    add_ended(journal, POINT, GENES, {"rejected": True}, [0.0])
    begin_trial(journal, POINT, GENES, {})
    journal.set_user_attr("interrupted", [3])
    wanted = [facts(one) for one in journal.get_trials()]
    assert [one[0] for one in wanted] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    assert wanted[0][1:] == ([0.5], POINT, GENES, {"family": "gnn", "measured": {"ndcg": 0.5}})
    for other in (open_journal(tmp_path, create=False), open_journal(tmp_path, create=True)):
        assert [facts(one) for one in other.get_trials()] == wanted
        assert other.user_attrs == {"interrupted": [3]}


def facts(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs


def test_the_next_writer_goes_on_where_the_last_ended(tmp_path: Path, journal: optuna.Study) -> None:
    begin_trial(journal, POINT, GENES, {})
    again = open_journal(tmp_path, create=True)
    end_trial(again, 0, None, {"reason": "it broke"})
    assert begin_trial(again, POINT, GENES, {}).number == 1
    states = [trial.state for trial in open_journal(tmp_path, create=False).trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING]


def test_the_list_of_trials_is_kept_up_to_date(journal: optuna.Study) -> None:
    def are_listed() -> bool:
        listed, copies = journal.get_trials(deepcopy=False), journal.get_trials(deepcopy=True)
        return [facts(trial) for trial in listed] == [facts(trial) for trial in copies]

    assert journal.get_trials(deepcopy=False) == []
    for number in (0, 1):
        begin_trial(journal, POINT, GENES, {"number": number})
        assert are_listed()
    end_trial(journal, 1, [1.0], {"reason": "none"})
    assert are_listed()
    add_ended(journal, POINT, GENES, {}, None)
    journal.enqueue_trial(POINT)
    assert are_listed()
    assert journal.ask(GENES).number == 3
    journal._storage.set_trial_user_attr(0, "later", 1)
    assert are_listed()
    end_trial(journal, 0, None)
    assert are_listed()
    states = [trial.state.name for trial in journal.get_trials(deepcopy=False)]
    assert states == ["FAIL", "COMPLETE", "FAIL", "RUNNING"]


def test_a_trial_ends_once(journal: optuna.Study) -> None:
    begin_trial(journal, POINT, GENES, {})
    end_trial(journal, 0, [1.0])
    with pytest.raises(ValueError, match="trial 0 is complete"):
        end_trial(journal, 0, None)


def test_an_end_is_written_at_once(tmp_path: Path, journal: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a process that is killed leaves a trial with a result that nobody was told."""
    begin_trial(journal, POINT, GENES, {})
    before = len(lines(tmp_path))
    seen: list[int] = []
    told = JournalStorage.set_trial_state_values

    def telling(self: JournalStorage, *given: Any) -> bool:
        seen.append(len(lines(tmp_path)))
        return told(self, *given)

    monkeypatch.setattr(JournalStorage, "set_trial_state_values", telling)
    end_trial(journal, 0, [1.0], {"measured": {}, "infeasible": "too slow"})
    assert seen == [before]
    assert len(lines(tmp_path)) == before + 3


def test_small_trials_are_not_each_synced(journal: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[float] = []
    now = [first := time.monotonic() + 100.0]
    monkeypatch.setattr(os, "fsync", lambda _: syncs.append(now[0]))
    monkeypatch.setattr(own_journal.time, "monotonic", lambda: now[0])
    for number in range(6):
        begin_trial(journal, POINT, GENES, {})
        now[0] += 2.0
        end_trial(journal, number, [1.0])
    assert syncs == pytest.approx([first, first + 6.0, first + 12.0])
    journal.set_user_attr("baseline.popularity", {})  # whatever is no trial is synced as it is written
    assert len(syncs) == 4


def test_what_ended_before_a_long_training_is_synced_while_it_lasts(
    journal: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[float] = []
    now = [first := time.monotonic() + 100.0]
    monkeypatch.setattr(os, "fsync", lambda _: syncs.append(now[0]))
    monkeypatch.setattr(own_journal.time, "monotonic", lambda: now[0])
    begin_trial(journal, POINT, GENES, {})
    now[0] += 2.5
    end_trial(journal, 0, [1.0])
    begin_trial(journal, POINT, GENES, {})
    for _ in range(4):  # epochs
        now[0] += 1.5
        sync(journal)
    assert syncs == pytest.approx([first, first + 5.5])
    sync(optuna.create_study())  # one in memory has nothing to sync


def test_what_is_left_is_synced_when_the_writer_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    with writing(tmp_path, ("maximize",)) as study:
        monkeypatch.setattr(os, "fsync", synced.append)
        monkeypatch.setattr(own_journal, "SYNC_S", 1e9)
        begin_trial(study, POINT, GENES, {})
        end_trial(study, 0, [1.0])
        assert synced == []
    assert len(synced) == 1


def test_another_process_that_writes_is_noticed(tmp_path: Path, journal: optuna.Study) -> None:
    """It would count the trials that follow anew, and their results would be those of other points."""
    begin_trial(journal, POINT, GENES, {})
    begin_trial(open_journal(tmp_path, create=True), POINT, GENES, {})
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(IntegrityError, match="another process"):
        end_trial(journal, 0, [1.0])
    assert (tmp_path / JOURNAL).read_bytes() == before


@pytest.mark.parametrize("how", ["gone", "restored"])
def test_a_file_that_is_another_one_meanwhile_is_noticed(tmp_path: Path, journal: optuna.Study, how: str) -> None:
    """What is written to the one that was opened nobody would find."""
    begin_trial(journal, POINT, GENES, {})
    content = (tmp_path / JOURNAL).read_bytes()
    other = tmp_path / "other"
    other.write_bytes(content)
    if how == "gone":
        (tmp_path / JOURNAL).unlink()
    else:
        other.replace(tmp_path / JOURNAL)
    with pytest.raises(IntegrityError, match="is gone" if how == "gone" else "another process"):
        end_trial(journal, 0, [1.0])
    assert not (tmp_path / JOURNAL).exists() or (tmp_path / JOURNAL).read_bytes() == content


def test_what_is_written_in_pieces_is_written_whole(
    tmp_path: Path, journal: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda opened, content: write(opened, content[:7]))
    begin_trial(journal, POINT, GENES, {})
    end_trial(journal, 0, [1.0])
    assert [trial.value for trial in journal.trials] == [1.0]
    assert [trial.value for trial in open_journal(tmp_path, create=False).trials] == [1.0]


@pytest.mark.parametrize("part", [0, 7])
def test_after_a_write_that_failed_nothing_more_is_written(
    part: int, tmp_path: Path, journal: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run into the torn line, or be of a trial that the file does not have; the next writer goes on."""
    write, parts = os.write, [part] if part else []

    def fill_up(opened: int, content: bytes) -> int:
        if parts:
            return write(opened, content[: parts.pop()])
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (tmp_path / JOURNAL).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fill_up)
        with pytest.raises(OSError, match="No space left"):
            begin_trial(journal, POINT, GENES, {})
    left = (tmp_path / JOURNAL).read_bytes()
    assert len(left) == len(before) + part
    for again in (lambda: end_trial(journal, 0, [1.0]), lambda: journal.set_user_attr("interrupted", [0])):
        with pytest.raises(StorageError, match="a write before this one failed") as caught:
            again()
        assert "run the search again" in caught.value.hint
    assert (tmp_path / JOURNAL).read_bytes() == left
    with writing(tmp_path, ["maximize"]) as mended:
        assert begin_trial(mended, POINT, GENES, {}).number == 0
    assert (tmp_path / JOURNAL).read_bytes().startswith(before)


def test_what_could_not_be_synced_is_not_gone_on_from(journal: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.set_user_attr("interrupted", [])
    with pytest.raises(StorageError, match="a write before this one failed"):
        begin_trial(journal, POINT, GENES, {})


def test_the_file_is_closed_with_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, opening = [], os.open

    def noted(*given: Any) -> int:
        opened.append(opening(*given))
        return opened[-1]

    monkeypatch.setattr(own_journal.os, "open", noted)
    journal = OwnJournal(tmp_path / JOURNAL)
    journal.append_logs([{"op_code": 0}])
    (descriptor,) = opened
    os.fstat(descriptor)
    del journal
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_study_in_memory_has_trials_too() -> None:
    journal = optuna.create_study(direction="maximize")
    assert begin_trial(journal, POINT, GENES, {"family": "gnn"}).number == 0
    end_trial(journal, 0, [0.25], {"measured": 1})
    assert (journal.trials[0].value, journal.trials[0].user_attrs) == (0.25, {"family": "gnn", "measured": 1})
