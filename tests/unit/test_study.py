"""Study: resumable, deterministic, and honest about what it found. Trials are trained by a toy slot."""

from __future__ import annotations

import fcntl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from toy_study import ROUND, SMALL, Ledger, ToySlot, go, keys, make_dataset, small_space

from gnas_search.data.interactions import DatasetConfig
from gnas_search.report import render
from gnas_search.space import SearchSpace
from gnas_search.specs import kind_of
from gnas_search.strategies import DEFAULT_STRATEGY
from gnas_search.study import Limits, Study, leaderboard, pick, status
from gnas_search.study.beginning import begin
from gnas_search.study.driver import run
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import WriterLock, is_locked
from gnas_search.study.transfer import Transfer
from gnas_serve.errors import ConfigError, DataMismatchError, NoViableTrialError, StorageError


class TestRun:
    def test_baselines_first_then_the_starts_of_each_family_then_trials(self, tmp_path: Path) -> None:
        watcher = Ledger()
        study = go(tmp_path / "study", trials=8, watcher=watcher)
        assert sorted(watcher.baselines) == ["item-knn", "popularity", "svd"]
        assert watcher.trials == [(number, "complete") for number in range(8)]
        assert tuple(watcher.started) == ROUND * 2
        assert watcher.epochs == 4
        assert len(watcher.blends) == 1
        assert {baseline.name: kind_of(baseline.spec) for baseline in study.baselines} == {
            "item-knn": "two-hop",
            "popularity": "popularity",
            "svd": "filter",
        }
        assert len(keys(study)) == 8
        for family, space in study.header.space.restrict(make_dataset()).families.items():
            tried = [trial.key for trial in study.trials if trial.kind == family]
            starts = [start.key() for start in space.starts]
            assert tried[: len(starts)] == starts[: len(tried)]
        first = study.trials[0]
        assert first.strategy == DEFAULT_STRATEGY
        assert first.measured is not None
        assert first.measured.ndcg.low <= first.measured.ndcg.value <= first.measured.ndcg.high
        assert study.per_user(first.key).ndcg.mean() == pytest.approx(first.measured.ndcg.value, abs=1e-6)

    def test_trials_counts_earlier_runs_and_baselines_are_kept(self, tmp_path: Path) -> None:
        go(tmp_path / "study", trials=3)
        watcher, slot = Ledger(), ToySlot()
        study = go(tmp_path / "study", trials=5, watcher=watcher, slots=slot)
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
        state = status(study)
        assert (state["strategy"], state["strategies"]) == ("evolution", ["random", "evolution"])
        again = status(go(tmp_path / "study", trials=5, strategy="random"))
        assert (again["strategy"], again["strategies"]) == ("random", ["random", "evolution"])
        assert "random, evolution" in render(study)

    def test_a_study_without_trials_has_the_strategy_that_it_begins_with(self, tmp_path: Path) -> None:
        begin(tmp_path / "study", make_dataset(), space=small_space(), strategy="gp", seed=None)
        state = status(Study.load(tmp_path / "study"))
        assert (state["strategy"], state["strategies"]) == ("gp", [])

    def test_a_failing_trial_is_kept_with_its_reason_and_the_study_goes_on(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("out of memory")

        study = go(tmp_path / "study", trials=4, slots=ToySlot({1: fail}))
        assert [trial.state for trial in study.trials] == ["complete", "failed", "complete", "complete"]
        assert study.trials[1].reason == "RuntimeError: out of memory"
        assert leaderboard(study)["failed"] == [{"trial": 1, "reason": "RuntimeError: out of memory"}]
        with pytest.raises(ConfigError, match="trial 1 is failed: RuntimeError"):
            pick(study, "1")

    def test_a_family_that_has_run_out_is_passed_over(self, tmp_path: Path) -> None:
        """Two filters and one two-hop model in all: then the networks alone go on."""
        closed = {
            "filter": {"genes": {"rank": [4, 8]}, "start": [{"rank": 8}]},
            "two-hop": {"genes": {"neighbours": [10]}, "start": [{"neighbours": 10}]},
        }
        watcher = Ledger()
        study = go(tmp_path / "study", trials=7, watcher=watcher, space=SearchSpace.from_json({**SMALL, **closed}))
        assert watcher.started == ["filter", "two-hop", "gnn", "gnn", "filter", "gnn", "gnn"]
        assert [trial.state for trial in study.trials if trial.kind != "gnn"].count("complete") == 3

    def test_duplicates_are_told_at_once_and_a_finite_space_runs_out(self, tmp_path: Path) -> None:
        slot = ToySlot()
        study = go(tmp_path / "study", trials=None, slots=slot, space=small_space(), strategy="random")
        trained = [job.spec for job in slot.jobs if job.seed == 0]  # from other seeds are finalists
        assert len(trained) == len(set(trained)) == small_space().size() == 12
        duplicates = [trial for trial in study.trials if trial.state == "duplicate"]
        assert duplicates
        for trial in duplicates:
            assert trial.duplicate_of is not None
            assert study.trials[trial.duplicate_of].key == trial.key
        assert status(study)["trials"]["duplicate"] == len(duplicates)

    def test_points_that_differ_in_idle_genes_are_one_model_and_run_out(self, tmp_path: Path) -> None:
        genes = {"response": ["ideal", "heat"], "strength": [1.0, 2.0, 4.0], "rank": [4]}
        filters = {"filter": {"genes": genes, "start": [{"response": "ideal", "rank": 4}]}}
        study = go(tmp_path / "study", trials=None, space=SearchSpace.from_json(filters), strategy="random")
        assert len(keys(study)) == 4
        assert len(study.trials) < 50  # not as many repeats as end a search that finds nothing new

    def test_the_deadline_before_a_validation_queues_the_trial_again(self, tmp_path: Path) -> None:
        folder, dataset = tmp_path / "study", make_dataset()
        begin(folder, dataset, space=small_space(), strategy=None, seed=None)
        watcher = Ledger()
        study = run(folder, dataset, watcher, limits=Limits.of(None, 60.0), slots=ToySlot())
        assert watcher.trials == [(0, "interrupted")]
        assert keys(study) == []
        again = go(folder, trials=1)
        assert [trial.state for trial in again.trials] == ["interrupted", "complete"]
        assert again.trials[0].key == again.trials[1].key

    def test_no_time_left_measures_the_baselines_alone(self, tmp_path: Path) -> None:
        folder, dataset = tmp_path / "study", make_dataset()
        begin(folder, dataset, space=SearchSpace.load("quick"), strategy=None, seed=None)
        study = run(folder, dataset, Ledger(), limits=Limits(None, time.monotonic()), slots=ToySlot())
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

    def test_limits_default_to_ten_minutes(self) -> None:
        assert Limits.of(None, None).trials is None
        assert Limits.of(None, None).budget_s == 600.0
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
        filters = {"genes": {"rank": [4, 8]}, "start": [{"rank": 8}]}
        space = SearchSpace.from_json({**SMALL, "filter": filters})
        go(folder, trials=1, seed=4, space=space)
        begin(folder, make_dataset(), space=space, strategy=None, seed=4)
        wider = SearchSpace.from_json({**SMALL, "filter": {**filters, "genes": {"rank": [4, 8, 16]}}})
        with pytest.raises(ConfigError, match=r"made with filter\.genes\.rank = \[4, 8\], not \[4, 8, 16\]"):
            begin(folder, make_dataset(), space=wider, strategy=None, seed=None)
        with pytest.raises(ConfigError, match=r"made with filter\.genes\.rank = \[4, 8\], not 'nothing'"):
            begin(folder, make_dataset(), space=small_space(), strategy=None, seed=None)
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


class TestPick:
    def test_every_selector(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=8)
        for kind in ("filter", "two-hop", "gnn"):
            best = study.best_of(kind)
            assert best is not None
            assert best.measured is not None
            others = [trial.measured.ndcg.value for trial, _ in study.ranking if trial.kind == kind and trial.measured]
            assert best.measured.ndcg.value == max(others)
            assert pick(study, f"best-{kind}") == best.spec
            assert pick(study, str(best.number)) == best.spec
            assert pick(study, best.key) == best.spec
        for baseline in study.baselines:
            assert pick(study, baseline.name) == baseline.spec
        whole, short = study.blends
        assert pick(study, "blend") == pick(study, whole.key) == whole.spec
        assert pick(study, short.key) == short.spec
        assert study.verdict.kind == "gnn"
        assert pick(study, "verdict") == pick(study, "best-gnn")

    def test_a_duplicate_is_its_twin(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=None, space=small_space(), strategy="random")
        duplicate = next(trial for trial in study.trials if trial.state == "duplicate")
        assert pick(study, str(duplicate.number)) == duplicate.spec

    def test_weak_trials_lose_to_the_best_baseline(self, tmp_path: Path) -> None:
        """A network that ranks nobody's items in the study's eyes has no part in a blend either."""
        study = go(tmp_path / "study", trials=4, slots=ToySlot(level=0.0))
        simple = study.baselines[0]
        assert study.verdict.kind == "baseline"
        assert pick(study, "verdict") == simple.spec
        board = leaderboard(study)
        assert [row["kind"] for row in board["rows"]][:3] == ["baseline"] * 3
        assert sorted(row["kind"] for row in board["rows"][3:]) == sorted(ROUND)
        remarks = {row["name"]: row["remark"] for row in board["rows"]}
        assert remarks[simple.name] == "verdict"
        assert all(row["peak_bytes"] > 0 for row in board["rows"])

    def test_unknown_and_absent_trials(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=1)
        with pytest.raises(ConfigError, match=r"unknown trial 'best-gn' .*'best-gnn'") as caught:
            pick(study, "best-gn")
        assert caught.value.exit_code == 2
        with pytest.raises(ConfigError, match=r"no measured trial 17.*among 0 to 0: see") as caught:
            pick(study, "17")
        assert (caught.value.exit_code, caught.value.code) == (2, "unknown_trial")

    def test_a_baseline_too_large_for_memory_is_left_out_and_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, watcher = tmp_path / "study", Ledger()
        with monkeypatch.context() as patched:
            patched.setattr("gnas_search.memory_check.available_bytes", lambda *_: 1)
            short = go(folder, trials=2, watcher=watcher)
        assert ([b.name for b in short.baselines], watcher.baselines) == (["popularity"], ["popularity"])
        assert watcher.left_out == ["item-knn", "svd"]
        said = [note for note in leaderboard(short)["notes"] if "compare" in note]
        assert [note.split(": training needs about ")[0] for note in said] == [
            "no item-knn to compare with",
            "no svd to compare with",
        ]
        assert all(note.endswith("0.0 GiB are available") for note in said)
        assert len(short.ranking) == 2
        again = go(folder, trials=2, watcher=(watcher := Ledger()))
        assert (watcher.baselines, watcher.left_out, again.left_out) == (["item-knn", "svd"], [], {})
        assert len(again.baselines) == 3
        assert not [note for note in leaderboard(again)["notes"] if "compare" in note]

    def test_no_trial_is_no_best_model(self, tmp_path: Path) -> None:
        begin(tmp_path / "study", make_dataset(), space=None, strategy=None, seed=None)
        study = Study.load(tmp_path / "study")
        for kind in ("gnn", "filter", "two-hop"):
            with pytest.raises(NoViableTrialError, match=f"no {kind} trial is complete") as caught:
                pick(study, f"best-{kind}")
            assert caught.value.exit_code == 4
        with pytest.raises(NoViableTrialError, match="it has no blend"):
            pick(study, "blend")
        with pytest.raises(NoViableTrialError, match="no model of the study is usable"):
            pick(study, "verdict")
        assert leaderboard(study)["verdict"] is None


def test_a_first_start_that_memory_refuses_costs_its_trial_alone(tmp_path: Path) -> None:
    wide = {
        "genes": {"num_layers": [0], "operator": ["gcn"], "embedding_dim": [8, 10**13]},
        "fixed": {"epochs": 1},
        "start": [{"layers": [], "embedding_dim": 10**13}],
    }
    watcher = Ledger()
    study = go(tmp_path / "study", trials=2, slots=1, watcher=watcher, space=SearchSpace.from_json(wide))
    states = [trial.state for trial in study.trials]
    assert (states[0], states.count("complete")) == ("failed", 1)
    assert "training needs about" in study.trials[0].reason
    assert (watcher.forecasts, study.forecast) == ([], None)


@pytest.mark.parametrize("late", [False, True])
def test_of_two_first_starts_at_once_the_later_is_told_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    folder, write = tmp_path / "study", StudyHeader.write

    def also(header: StudyHeader, target: Path, transfer: Transfer | None = None) -> None:
        write(header, target, transfer)  # by the other one
        if late:  # only once this one has looked whether the folder is there
            monkeypatch.setattr(Path, "exists", lambda path: path != target and exists(path))
        write(header, target, transfer)

    exists = Path.exists
    monkeypatch.setattr(StudyHeader, "write", also)
    with pytest.raises(ConfigError, match="another search began this study meanwhile") as caught:
        begin(folder, make_dataset(), space=small_space(), strategy=None, seed=None)
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_a_folder_for_the_lock_is_named(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=1)
    (study.folder / "writer.lock").unlink()
    (study.folder / "writer.lock").mkdir()
    for call in (lambda: status(Study.load(study.folder)), lambda: go(study.folder, trials=2)):
        with pytest.raises(StorageError, match=r"writer.lock") as caught:
            call()
        assert "remove" in caught.value.hint
