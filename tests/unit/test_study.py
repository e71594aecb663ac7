"""Study: resumable, deterministic, and honest about what it found. Trials are trained by a toy slot."""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_study import Ledger, ToySlot, go, keys, make_dataset, small_space

from gnas_search.data.interactions import DatasetConfig
from gnas_search.space import SearchSpace
from gnas_search.study import Limits, Study, begin, leaderboard, run, status
from gnas_search.study.header import HEADER
from gnas_search.study.journal import JOURNAL, WriterLock, is_locked
from gnas_search.study.study import metrics_path
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import (
    ConfigError,
    DataMismatchError,
    FormatVersionError,
    IntegrityError,
    NoViableTrialError,
)


class TestRun:
    def test_baselines_first_then_the_start_then_trials(self, tmp_path: Path) -> None:
        watcher = Ledger()
        study = go(tmp_path / "study", trials=4, watcher=watcher)
        assert sorted(watcher.baselines) == ["item-knn", "popularity", "svd"]
        assert watcher.trials == [(number, "complete") for number in range(4)]
        assert watcher.epochs == 4
        assert len(study.baselines) == 3
        assert len(keys(study)) == 4
        first = study.trials[0]
        assert first.spec is not None
        assert first.spec.layers == study.header.space.starts[0].layers
        assert first.strategy == "tpe"
        assert first.measured is not None
        assert first.measured.ndcg.low <= first.measured.ndcg.value <= first.measured.ndcg.high
        assert study.per_user(first.key).ndcg.mean() == pytest.approx(first.measured.ndcg.value, abs=1e-6)

    def test_trials_counts_earlier_runs_and_baselines_are_kept(self, tmp_path: Path) -> None:
        go(tmp_path / "study", trials=3)
        watcher, slot = Ledger(), ToySlot()
        study = go(tmp_path / "study", trials=5, watcher=watcher, slot=slot)
        assert watcher.baselines == []
        assert len(slot.jobs) == 2
        assert len(keys(study)) == 5

    def test_a_study_in_parts_is_the_study_in_one(self, tmp_path: Path) -> None:
        whole = go(tmp_path / "whole", trials=12)
        for trials in (1, 9, 12):
            parts = go(tmp_path / "parts", trials=trials)
        assert keys(parts) == keys(whole)
        assert [m.ndcg for _, m in parts.ranking] == [m.ndcg for _, m in whole.ranking]

    def test_another_strategy_may_go_on(self, tmp_path: Path) -> None:
        go(tmp_path / "study", trials=2, strategy="random")
        study = go(tmp_path / "study", trials=4, strategy="evolution")
        assert [trial.strategy for trial in study.trials] == ["random", "random", "evolution", "evolution"]

    def test_a_failing_trial_is_kept_with_its_reason_and_the_study_goes_on(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("out of memory")

        study = go(tmp_path / "study", trials=4, slot=ToySlot({1: fail}))
        assert [trial.state for trial in study.trials] == ["complete", "failed", "complete", "complete"]
        assert study.trials[1].reason == "RuntimeError: out of memory"
        assert leaderboard(study)["failed"] == [{"trial": 1, "reason": "RuntimeError: out of memory"}]
        with pytest.raises(ConfigError, match="trial 1 is failed: RuntimeError"):
            study.pick("1")

    def test_duplicates_are_told_at_once_and_a_finite_space_runs_out(self, tmp_path: Path) -> None:
        slot = ToySlot()
        study = go(tmp_path / "study", trials=None, slot=slot, space=small_space(), strategy="random")
        assert len(slot.jobs) == len({job.spec for job in slot.jobs}) == small_space().size() == 12
        duplicates = [trial for trial in study.trials if trial.state == "duplicate"]
        assert duplicates
        for trial in duplicates:
            assert trial.duplicate_of is not None
            assert study.trials[trial.duplicate_of].key == trial.key
        assert status(study)["trials"]["duplicate"] == len(duplicates)

    def test_the_deadline_before_a_validation_queues_the_trial_again(self, tmp_path: Path) -> None:
        folder, dataset = tmp_path / "study", make_dataset()
        begin(folder, dataset, space=SearchSpace.load("quick"), strategy=None, seed=None)
        watcher = Ledger()
        study = run(folder, dataset, watcher, limits=Limits.of(None, 60.0), slot=ToySlot())
        assert watcher.trials == [(0, "interrupted")]
        assert keys(study) == []
        again = go(folder, trials=1)
        assert [trial.state for trial in again.trials] == ["interrupted", "complete"]
        assert again.trials[0].key == again.trials[1].key

    def test_no_time_left_measures_the_baselines_alone(self, tmp_path: Path) -> None:
        folder, dataset = tmp_path / "study", make_dataset()
        begin(folder, dataset, space=SearchSpace.load("quick"), strategy=None, seed=None)
        study = run(folder, dataset, Ledger(), limits=Limits(None, time.monotonic()), slot=ToySlot())
        assert study.trials == ()
        assert study.verdict.kind == "baseline"

    def test_one_writer_at_a_time(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        go(folder, trials=1)
        lock = WriterLock(folder)
        assert status(Study.load(folder))["running"] is True
        with pytest.raises(ConfigError, match="another search is running"):
            go(folder, trials=2)
        lock.release()
        assert status(go(folder, trials=2))["running"] is False

    def test_a_reader_that_looks_at_the_lock_disturbs_nobody(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        go(folder, trials=1)
        with (folder / "writer.lock").open("rb") as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)  # another `study status`, at its moment of looking
            assert not is_locked(folder)
            closing = threading.Timer(0.1, reader.close)
            closing.start()
            WriterLock(folder).release()
            closing.join()

    def test_limits_default_to_twenty_trials(self) -> None:
        assert Limits.of(None, None) == Limits(20, None)
        assert Limits.of(7, None) == Limits(7, None)
        assert Limits.of(None, 5.0).trials is None


class TestResumption:
    def test_other_data_is_refused(self, tmp_path: Path) -> None:
        go(tmp_path / "study", trials=1)
        with pytest.raises(DataMismatchError) as caught:
            begin(tmp_path / "study", make_dataset("b" * 64), space=None, strategy=None, seed=None)
        assert caught.value.exit_code == 3

    def test_another_space_seed_or_reading_is_refused_by_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "study"
        go(folder, trials=1, seed=4)
        begin(folder, make_dataset(), space=SearchSpace.load("quick"), strategy=None, seed=4)
        with pytest.raises(ConfigError, match=r"made with genes\.batch_size = \[256, 512\], not \[256, 512, 1024\]"):
            begin(folder, make_dataset(), space=SearchSpace.load("standard"), strategy=None, seed=None)
        with pytest.raises(ConfigError, match="made with seed = 4, not 5"):
            begin(folder, make_dataset(), space=None, strategy=None, seed=5)
        other = replace(make_dataset(), config=DatasetConfig(min_rating=3.0))
        with pytest.raises(ConfigError, match=r"made with min_rating = None, not 3.0"):
            begin(folder, other, space=None, strategy=None, seed=None)

    def test_an_unknown_strategy_writes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="unknown strategy 'tpee'"):
            begin(tmp_path / "study", make_dataset(), space=None, strategy="tpee", seed=None)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_no_study_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with pytest.raises(ConfigError, match="is no study"):
            begin(tmp_path / "other", make_dataset(), space=None, strategy=None, seed=None)
        with pytest.raises(ConfigError, match="does not exist"):
            Study.load(tmp_path / "absent")


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        go(tmp_path / "study", trials=2)
        return tmp_path / "study"

    def test_any_altered_byte_of_the_header(self, folder: Path) -> None:
        raw = (folder / HEADER).read_bytes()
        for position in range(0, len(raw), 97):
            damaged = bytearray(raw)
            damaged[position] ^= 1
            (folder / HEADER).write_bytes(bytes(damaged))
            with pytest.raises(IntegrityError):
                Study.load(folder)

    def test_a_truncated_header(self, folder: Path) -> None:
        (folder / HEADER).write_bytes((folder / HEADER).read_bytes()[:50])
        with pytest.raises(IntegrityError, match=r"study.json is unreadable"):
            Study.load(folder)

    def test_a_newer_format(self, folder: Path) -> None:
        body = json.loads((folder / HEADER).read_bytes())
        del body["digest"]
        body["format_version"] = 2
        body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
        (folder / HEADER).write_bytes(canonical_json(body))
        with pytest.raises(FormatVersionError, match="newer than 1"):
            Study.load(folder)

    def test_a_journal_damaged_in_the_middle(self, folder: Path) -> None:
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        lines[3] = b"{]\n"
        (folder / JOURNAL).write_bytes(b"".join(lines))
        with pytest.raises(IntegrityError, match=r"journal.log is damaged"):
            Study.load(folder)

    def test_metrics_that_are_missing_or_truncated(self, folder: Path) -> None:
        path = metrics_path(folder, "svd")
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(IntegrityError, match=r"svd.npy is missing or damaged"):
            _ = Study.load(folder).verdict
        path.unlink()
        with pytest.raises(IntegrityError, match=r"svd.npy is missing or damaged"):
            leaderboard(Study.load(folder))

    def test_metrics_with_any_bytes_cut_from_the_header(self, folder: Path) -> None:
        path = metrics_path(folder, "svd")
        raw = path.read_bytes()
        for start in range(0, 128, 5):
            for length in (1, 9, 40):
                path.write_bytes(raw[:start] + raw[start + length :])
                with pytest.raises(IntegrityError):
                    _ = Study.load(folder).verdict

    def test_metrics_of_other_users(self, folder: Path) -> None:
        path = metrics_path(folder, "svd")
        np.save(path, np.load(path)[:, 1:])
        with pytest.raises(IntegrityError, match="different numbers of users"):
            _ = Study.load(folder).verdict

    def test_files_nested_too_deeply_and_a_folder_for_the_journal(self, folder: Path) -> None:
        header = (folder / HEADER).read_bytes()
        (folder / HEADER).write_text("[" * 100_000)
        with pytest.raises(IntegrityError, match=r"study.json is unreadable"):
            Study.load(folder)
        (folder / HEADER).write_bytes(header)
        (folder / JOURNAL).write_text("[" * 100_000 + "\n")
        for call in (Study.load, lambda path: go(path, trials=3)):
            with pytest.raises(IntegrityError, match=r"journal.log is damaged"):
                call(folder)
        assert (folder / JOURNAL).stat().st_size == 100_001
        (folder / JOURNAL).unlink()
        (folder / JOURNAL).mkdir()
        with pytest.raises(IntegrityError, match=r"journal.log is a folder"):
            Study.load(folder)

    @pytest.mark.parametrize("wrong", [None, 1.5, [], {}, "x"], ids=repr)
    @pytest.mark.parametrize(
        "field", ["data", "space", "seed", "format_version", "data.config", "data.config.split_seed"]
    )
    def test_a_header_of_wrong_types_with_its_right_digest(self, folder: Path, field: str, wrong: object) -> None:
        body = json.loads((folder / HEADER).read_bytes())
        del body["digest"]
        *above, last = field.split(".")
        inner = body
        for name in above:
            inner = inner[name]
        inner[last] = wrong
        body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
        (folder / HEADER).write_bytes(canonical_json(body))
        with pytest.raises(IntegrityError):
            Study.load(folder)


class TestPick:
    def test_every_selector(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=4)
        best = study.ranking[0][0]
        assert study.pick("best-gnn") == best.spec
        assert study.pick(str(best.number)) == best.spec
        assert study.pick(best.key) == best.spec
        assert [study.pick(name) for name in ("svd", "item-knn")] == ["svd", "item-knn"]
        assert study.verdict.kind == "gnn"
        assert study.pick("verdict") == best.spec

    def test_a_duplicate_is_its_twin(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=None, space=small_space(), strategy="random")
        duplicate = next(trial for trial in study.trials if trial.state == "duplicate")
        assert study.pick(str(duplicate.number)) == duplicate.spec

    def test_a_weak_network_loses_to_the_best_servable_baseline(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=2, slot=ToySlot(level=0.1))
        simple = next(baseline for baseline in study.baselines if baseline.servable)
        assert study.pick("verdict") == simple.name
        board = leaderboard(study)
        assert [row["kind"] for row in board["rows"]] == ["baseline"] * 3 + ["gnn"] * 2
        remarks = {row["name"]: row["remark"] for row in board["rows"]}
        assert remarks[simple.name] == "verdict"
        assert remarks["item-knn"] == "not servable"

    def test_unknown_and_absent_trials(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=1)
        with pytest.raises(ConfigError, match=r"unknown trial 'best-gn' .*'best-gnn'") as caught:
            study.pick("best-gn")
        assert caught.value.exit_code == 2
        with pytest.raises(ConfigError, match="unknown trial '17'"):
            study.pick("17")

    def test_no_trial_is_no_best_network(self, tmp_path: Path) -> None:
        begin(tmp_path / "study", make_dataset(), space=None, strategy=None, seed=None)
        study = Study.load(tmp_path / "study")
        with pytest.raises(NoViableTrialError, match="no trial is complete") as caught:
            study.pick("best-gnn")
        assert caught.value.exit_code == 4
        with pytest.raises(NoViableTrialError, match="no model of the study is usable"):
            study.pick("verdict")
        assert leaderboard(study)["verdict"] is None
