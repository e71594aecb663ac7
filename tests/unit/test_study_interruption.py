"""A study that is interrupted, killed or short of disk goes on as if nothing had happened."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import optuna
import pytest
import toy_study
from toy_study import SMALL, Ledger, ToySlot, go, interrupt, keys, make_dataset

from gnas_search.space import SearchSpace
from gnas_search.study import Limits, Study, driver, metrics, status
from gnas_search.study.beginning import begin
from gnas_search.study.driver import run
from gnas_search.study.journal import JOURNAL
from gnas_search.study.own_journal import OwnJournal
from gnas_serve.errors import StorageError

FILTERS = {
    "genes": {"rank": [4, 8, 16], "strength": {"low": 0.5, "high": 5.0}},
    "fixed": {"response": "ridge"},
    "start": [{"rank": 8, "strength": 2.0}, {"rank": 16, "strength": 1.0}],
}


@contextmanager
def stopped_after(records: int) -> Iterator[list[int]]:
    """Write nothing more to a journal after so many records, as a kill would; list how many were written at a time.

    What is written at once may be cut anywhere: of the first record too many, half is written.
    """
    append, written = OwnJournal._append, []

    def stop(self: OwnJournal, lines: Sequence[str], *, synced: bool) -> None:
        room = records - sum(written)
        if room >= len(lines):
            written.append(len(lines))
            append(self, lines, synced=synced)
            return
        if room >= 0:
            whole = "".join(f"{line}\n" for line in lines[:room])
            with self._path.open("a") as stream:
                stream.write(whole + lines[room][: len(lines[room]) // 2])
            written.append(records + 1)  # and nothing after it
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OwnJournal, "_append", stop)
        yield written


class TestInterruption:
    @pytest.mark.parametrize(("space", "at"), [("quick", 0), ("standard", 1), ("quick", 5)])
    def test_an_interrupted_trial_is_tried_again_and_nothing_else_is_lost(
        self, tmp_path: Path, space: str, at: int
    ) -> None:
        whole = go(tmp_path / "whole", trials=8, space=SearchSpace.load(space))
        assert {trial.kind for trial in whole.trials} == {"filter", "two-hop", "gnn"}
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=8, space=SearchSpace.load(space), slots=ToySlot({at: interrupt}))
        stopped = Study.load(tmp_path / "study")
        assert [trial.state for trial in stopped.trials] == ["complete"] * at + ["interrupted"]
        assert status(stopped)["trials"]["interrupted"] == 1
        left = [note for note in status(stopped)["notes"] if "left to the next run" in note]
        assert left == ["1 trial is left to the next run: stopped, or more than the time that was left"]
        assert not any("left to the next run" in note for note in status(go(tmp_path / "study", trials=8))["notes"])
        assert keys(go(tmp_path / "study", trials=8)) == keys(whole)

    def test_interrupted_at_every_trial_the_sequence_is_the_undisturbed_one(self, tmp_path: Path) -> None:
        whole = go(tmp_path / "whole", trials=5)
        folder = tmp_path / "study"
        begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
        for trials in range(1, 6):
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    go(folder, trials=trials, slots=ToySlot({0: interrupt}))
            go(folder, trials=trials)
        assert keys(Study.load(folder)) == keys(whole)

    def test_stopped_at_any_record_of_the_journal_it_goes_on_with_the_same_sequence(self, tmp_path: Path) -> None:
        """As a kill would: nothing more is written after the n-th record, not even that it ended."""
        space = SearchSpace.from_json({**SMALL, "filter": FILTERS})  # two filters, then a network
        whole = go(tmp_path / "whole", trials=3, space=space)
        folder = tmp_path / "study"
        begin(folder, make_dataset(), space=space, strategy=None, seed=None)
        run(folder, make_dataset(), Ledger(), limits=Limits(None, time.monotonic()))  # the baselines, once
        with stopped_after(1000) as written:
            go(Path(shutil.copytree(folder, tmp_path / "undisturbed")), trials=3)
        assert sum(written) > 12
        assert max(written) > 1
        for number in range(sum(written)):
            part = Path(shutil.copytree(folder, tmp_path / f"part-{number}"))
            with stopped_after(number), pytest.raises(KeyboardInterrupt):
                go(part, trials=3)
            assert keys(go(part, trials=3)) == keys(whole), number

    def test_killed_at_every_record_a_constrained_study_goes_on_with_the_same_sequence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rejected points are part of it: they are no draws of their own, and a draw of which one was lost goes on."""
        genes = {"rank": [4, 8, 12, 16], "user_power": [0.0, 0.25, 0.5], "item_power": [0.0, 0.25, 0.5]}
        filters = {"genes": genes, "start": [{"rank": 4, "user_power": 0.0}]}
        forbidden = [{"kind": "filter", "rank": [8, 12]}]
        space = SearchSpace.from_json({"filter": filters, "forbid": forbidden})
        monkeypatch.setattr(driver, "blend_best", lambda *_: None)
        begun = tmp_path / "begun"
        begin(begun, make_dataset(), space=space, strategy="random", seed=None)
        run(begun, make_dataset(), Ledger(), limits=Limits(None, time.monotonic()))  # the baselines, once

        def sequence(study: Study) -> list[tuple[str, str]]:
            return [(trial.key, trial.state) for trial in study.trials if trial.state != "interrupted"]

        with stopped_after(1000) as written:
            whole = sequence(go(Path(shutil.copytree(begun, tmp_path / "whole")), trials=3))
        assert [state for _, state in whole].count("infeasible") >= 2
        assert sum(written) > 10
        for number in range(sum(written)):
            part = Path(shutil.copytree(begun, tmp_path / f"part-{number}"))
            with stopped_after(number), pytest.raises(KeyboardInterrupt):
                go(part, trials=3)
            assert sequence(go(part, trials=3)) == whole, number

    def test_killed_while_it_rejects_a_slow_model_it_does_not_take_it_for_a_quick_one(self, tmp_path: Path) -> None:
        slow, begun = {"max_latency_us": 20.0}, tmp_path / "begun"
        space = SearchSpace.from_json({"filter": FILTERS, "constraints": slow})  # the toy costs 10 and its columns
        begin(begun, make_dataset(), space=space, strategy=None, seed=None)
        with stopped_after(1000) as written:
            whole = go(Path(shutil.copytree(begun, tmp_path / "whole")), trials=3)
        states = {trial.key: trial.state for trial in whole.trials}
        assert {"complete", "infeasible"} <= set(states.values())
        for number in range(sum(written)):
            part = Path(shutil.copytree(begun, tmp_path / f"part-{number}"))
            with stopped_after(number), suppress(KeyboardInterrupt):
                go(part, trials=3)
            again = [trial for trial in go(part, trials=3).trials if trial.state != "interrupted"]
            assert {trial.key: trial.state for trial in again} == states, number

    def test_a_trial_whose_metrics_a_failure_of_power_took_is_tried_again(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        whole = go(folder, trials=4)
        lost = whole.trials[1]
        (folder / "metrics" / f"{lost.key}.npy").write_bytes(b"")
        slot = ToySlot()
        again = go(folder, trials=4, slots=slot)
        assert [job.spec.key() for job in slot.jobs] == [lost.key]
        assert [trial.state for trial in again.trials] == ["complete", "interrupted", *["complete"] * 3]
        assert sorted(keys(again)) == sorted(keys(whole))
        assert keys(go(folder, trials=4)) == keys(again)

    def test_a_second_try_is_of_the_strategy_that_drew_it(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=4, slots=ToySlot({3: interrupt}), strategy="evolution")
        study = go(tmp_path / "study", trials=6, strategy="random")
        assert [trial.strategy for trial in study.trials] == ["evolution"] * 5 + ["random"] * 2

    def test_a_killed_search_goes_on_with_the_same_sequence(self, tmp_path: Path) -> None:
        whole = go(tmp_path / "whole", trials=6)
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from toy_study import ToySlot, go\n"
            "go(Path(sys.argv[2]), trials=6, slots=ToySlot({3: lambda: os._exit(9)}))\n"
        )
        folder = tmp_path / "study"
        helpers = str(Path(toy_study.__file__).parent)
        done = subprocess.run([sys.executable, "-c", script, helpers, str(folder)], check=False)
        assert done.returncode == 9
        killed = Study.load(folder)
        assert [trial.state for trial in killed.trials] == ["complete"] * 3 + ["interrupted"]
        assert keys(go(folder, trials=6)) == keys(whole)

    def test_a_result_that_was_written_is_not_trained_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(optuna.storages.JournalStorage, "set_trial_state_values", lambda *_, **__: interrupt())
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path / "study", trials=1)
        slot = ToySlot()
        assert len(keys(go(tmp_path / "study", trials=1, slots=slot))) == 1
        assert slot.jobs == []

    @pytest.mark.parametrize("torn", [b'{"op_code":5,"work', b'{"op_code":5,"work\n'])
    def test_a_torn_last_line_loses_nothing_else(self, tmp_path: Path, torn: bytes) -> None:
        folder = tmp_path / "study"
        before = keys(go(folder, trials=3))
        with (folder / JOURNAL).open("ab") as stream:
            stream.write(torn)
        (folder / f"{JOURNAL}.lock").touch()  # left by the same killed append
        assert keys(Study.load(folder)) == before
        assert keys(go(folder, trials=5))[:3] == before

    def test_killed_before_the_journal_began(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
        empty = Study.load(folder)
        assert (empty.trials, empty.baselines) == ((), ())
        assert not (folder / JOURNAL).exists()
        assert len(keys(go(folder, trials=1))) == 1

    def test_a_full_disk_under_the_metrics(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "study"
        begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=None)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with monkeypatch.context() as patched:
            # As of many users, so that it is the metrics which do not fit, and not the journal.
            patched.setattr(metrics, "per_user", lambda _: np.zeros((2, 1000), dtype=np.float32))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
            try:
                with pytest.raises(StorageError, match="cannot write") as caught:
                    go(folder, trials=1)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.exit_code == 10
        assert (folder / JOURNAL).stat().st_size < 2000
        assert list((folder / "metrics").iterdir()) == []
        assert len(keys(go(folder, trials=1))) == 1
