"""Study: resumable, deterministic, and honest about what it found. Trials are trained by a toy slot."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import DatasetConfig
from gnas_search.evaluate import UserMetrics
from gnas_search.slots import Job, Outcome
from gnas_search.space import SearchSpace
from gnas_search.study import Limits, Study, begin, leaderboard, run, status
from gnas_search.study.header import HEADER
from gnas_search.study.journal import JOURNAL, WriterLock
from gnas_search.study.study import metrics_path
from gnas_search.train import EpochResult
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import (
    ConfigError,
    DataMismatchError,
    FormatVersionError,
    IntegrityError,
    NoViableTrialError,
)
from gnas_serve.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS = 60, 40
SMALL: dict[str, Any] = {
    "genes": {"num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "embedding_dim": [8, 16]},
    "start": [{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16}],
}
FOREVER = Limits(trials=None, deadline=None)


def make_dataset(fingerprint: str = "a" * 64) -> Dataset:
    """Users of four tastes; each tries a third of the items of its taste."""
    rng = np.random.default_rng(0)
    taste = np.arange(NUM_USERS)[:, None] % 4 == np.arange(NUM_ITEMS)[None, :] % 4
    likes = taste & (rng.random((NUM_USERS, NUM_ITEMS)) < 0.6)
    likes[np.arange(NUM_USERS), np.arange(NUM_USERS) % 4] = True
    held_out = likes & (rng.random(likes.shape) < 0.3)
    held_out[np.arange(NUM_USERS), np.arange(NUM_USERS) % 4] = False
    train = sp.csr_matrix((likes & ~held_out).astype(np.float32))
    whole = sp.csr_matrix(likes.astype(np.float32))
    return Dataset(
        users=Vocabulary.from_ids(range(NUM_USERS)),
        items=Vocabulary.from_ids(range(NUM_ITEMS)),
        selection=InteractionGraph(train, train),
        final=InteractionGraph(whole, whole),
        valid=sp.csr_matrix(held_out.astype(np.float32)),
        item_features=None,
        user_features=None,
        item_recency=None,
        item_titles=None,
        target_event=None,
        events=("interaction",),
        policy="random",
        fingerprint=fingerprint,
        config=DatasetConfig(),
    )


class ToySlot:
    """Gives each architecture a fixed quality per user; does ``mischief`` at the chosen jobs."""

    def __init__(self, mischief: dict[int, Callable[[], None]] | None = None, level: float = 0.9) -> None:
        self.jobs: list[Job] = []
        self.mischief = mischief or {}
        self.level = level
        self.users = int(np.count_nonzero(np.diff(make_dataset().valid.indptr)))

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def advance(self, on_epoch: Callable[[EpochResult], None]) -> bool:
        self.mischief.get(len(self.jobs) - 1, lambda: None)()
        on_epoch(EpochResult(1, 0.5, 0.1, 0.01))
        return False

    def result(self) -> Outcome:
        spec = self.jobs[-1].spec
        quality = self.level * (1 - 0.1 * len(spec.layers) + 0.001 * spec.embedding_dim)
        ndcg = np.full(self.users, quality) + np.linspace(-0.01, 0.01, self.users)
        late = self.jobs[-1].deadline is not None
        history = (EpochResult(1, 0.5, quality, 0.01),)
        return Outcome(UserMetrics(ndcg, ndcg), 0 if late else 1, history, "deadline" if late else "epochs", 10, 0.1)


class Ledger:
    """Remembers what a watcher is told."""

    def __init__(self) -> None:
        self.baselines: list[str] = []
        self.trials: list[tuple[int, str]] = []
        self.epochs = 0

    def baseline_measured(self, baseline: Any) -> None:
        self.baselines.append(baseline.name)

    def trial_started(self, number: int, spec: ArchitectureSpec, finished: int) -> None:
        assert spec.layers
        assert finished <= number

    def epoch_ended(self, epoch: EpochResult) -> None:
        self.epochs += 1

    def trial_ended(self, trial: Any) -> None:
        self.trials.append((trial.number, trial.state))


def small_space() -> SearchSpace:
    return SearchSpace.from_json(SMALL)


def go(folder: Path, *, trials: int | None = 3, slot: Any = None, watcher: Any = None, **begun: Any) -> Study:
    """Begin or go on with a study on the quick space."""
    dataset = make_dataset()
    begun.setdefault("space", None if folder.exists() else SearchSpace.load("quick"))
    strategy = begun.pop("strategy", None)
    begin(folder, dataset, strategy=strategy, seed=begun.pop("seed", None), **begun)
    limits = Limits(trials, None)
    return run(folder, dataset, watcher or Ledger(), limits=limits, strategy=strategy, slot=slot or ToySlot())


def keys(study: Study) -> list[str]:
    return [trial.key for trial in study.trials if trial.state == "complete"]


def interrupt() -> None:
    raise KeyboardInterrupt


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

    def test_limits_default_to_twenty_trials(self) -> None:
        assert Limits.of(None, None) == Limits(20, None)
        assert Limits.of(7, None) == Limits(7, None)
        assert Limits.of(None, 5.0).trials is None


class TestInterruption:
    def test_an_interrupted_trial_is_tried_again_and_nothing_else_is_lost(self, tmp_path: Path) -> None:
        whole = go(tmp_path / "whole", trials=8)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=8, slot=ToySlot({5: interrupt}))
        stopped = Study.load(tmp_path / "study")
        assert [trial.state for trial in stopped.trials] == ["complete"] * 5 + ["interrupted"]
        assert status(stopped)["trials"]["interrupted"] == 1
        assert keys(go(tmp_path / "study", trials=8)) == keys(whole)

    def test_a_killed_search_goes_on_with_the_same_sequence(self, tmp_path: Path) -> None:
        whole = go(tmp_path / "whole", trials=6)
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from test_study import ToySlot, go\n"
            "go(Path(sys.argv[2]), trials=6, slot=ToySlot({3: lambda: os._exit(9)}))\n"
        )
        folder = tmp_path / "study"
        done = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parent), str(folder)], check=False)
        assert done.returncode == 9
        killed = Study.load(folder)
        assert [trial.state for trial in killed.trials] == ["complete"] * 3 + ["interrupted"]
        assert keys(go(folder, trials=6)) == keys(whole)

    def test_a_result_that_was_written_is_not_trained_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(optuna.Study, "tell", lambda *_, **__: interrupt())
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path / "study", trials=1)
        slot = ToySlot()
        assert len(keys(go(tmp_path / "study", trials=1, slot=slot))) == 1
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
        import hashlib

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
        assert remarks["item-knn"] == "not servable in this version"

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
