"""The end of a search: the best models of each kind are blended once, and again where one of them is beaten."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_study import SMALL, Ledger, ToySlot, go, interrupt, keys, make_dataset, small_space, toy_fit

from gnas_search.architecture import ArchitectureSpec
from gnas_search.blend import assemble, blend
from gnas_search.closed_form import FilterSpec
from gnas_search.evaluate import UserMetrics, validation_of
from gnas_search.space import SearchSpace
from gnas_search.space.costs import num_parameters
from gnas_search.specs import BlendSpec, Share, kind_of
from gnas_search.study import Study, leaderboard, pick, status
from gnas_search.study.blending import COMPRESSED_DIMS, as_cross_fitted, best_of_each_kind, blend_models, scan_us
from gnas_search.study.kept import KeptModels
from gnas_serve.errors import NoViableTrialError

MODELS = "models"
NARROW = (ArchitectureSpec(layers=("gcn",)), FilterSpec(rank=8))
"""Models whose blend has few columns, and no two hops."""


def kept_files(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / MODELS).iterdir())


def models_of(study: Study) -> dict[str, Any]:
    """Give the best model of each kind, baselines included, as the driver should choose them."""
    every = [(baseline.measured.ndcg.value, baseline.spec) for baseline in study.baselines]
    every += [(found.ndcg.value, trial.spec) for trial, found in study.ranking if trial.spec is not None]
    best: dict[str, Any] = {}
    for _, spec in sorted(every, key=lambda pair: pair[0]):
        best[kind_of(spec)] = spec
    return best


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return go(tmp_path_factory.mktemp("studies") / "study", trials=4)


class TestBlend:
    def test_the_best_of_each_kind_and_its_compressed_form_are_recorded(self, study: Study) -> None:
        whole, short = study.blends
        assert whole.spec.dims is None
        assert short.spec == BlendSpec(whole.spec.shares, COMPRESSED_DIMS)
        best = models_of(study)
        assert {kind_of(share.spec) for share in whole.spec.shares} >= {"two-hop", "gnn"}
        assert all(share.spec == best[kind_of(share.spec)] for share in whole.spec.shares)
        assert all(share.weight > 0 for share in whole.spec.shares)
        assert whole.loss == 0.0
        assert whole.scan_us > 0
        assert short.scan_us > 0
        networks = [share.spec for share in whole.spec.shares if isinstance(share.spec, ArchitectureSpec)]
        trained = sum(num_parameters(spec, make_dataset().selection) for spec in networks)
        assert whole.measured.parameters == short.measured.parameters == trained > 0
        for record in (whole, short):
            assert study.per_user(record.key).ndcg.mean() == pytest.approx(record.measured.ndcg.value, abs=1e-6)

    def test_it_is_the_blend_of_the_fits_that_the_slot_gave(self, study: Study) -> None:
        dataset = make_dataset()
        validation = validation_of(dataset)
        best = models_of(study)
        assert list(best_of_each_kind(study).items()) == sorted(best.items())  # one key, whatever was found first
        fits = {kind: toy_fit(spec) for kind, spec in best.items()}
        found = blend_models(dict(sorted(best.items())), fits, dataset.selection, validation, seed=0)
        for one, record in zip(found, study.blends, strict=True):
            assert one.record.key == record.key
            np.testing.assert_allclose(one.metrics.ndcg, study.per_user(record.key).ndcg, atol=1e-6)

    def test_the_loss_of_the_compressed_form_is_that_under_equal_weights(
        self, study: Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The blend itself is measured by weights that others gave, here as if they were half as good."""

        def pessimistic(*given: Any, **settings: Any) -> Any:
            found = blend(*given, **settings)
            assert found is not None
            return replace(found, metrics=UserMetrics(found.metrics.recall / 2, found.metrics.ndcg / 2))

        monkeypatch.setattr("gnas_search.study.blending.blend", pessimistic)
        dataset = make_dataset()
        best = models_of(study)
        fits = {kind: toy_fit(spec) for kind, spec in best.items()}
        found = blend_models(dict(sorted(best.items())), fits, dataset.selection, validation_of(dataset), seed=0)
        whole, short = (one.record for one in found)
        assert whole.measured.ndcg.value == pytest.approx(study.blends[0].measured.ndcg.value / 2)
        branches = [fits[kind_of(share.spec)].branches[0] for share in whole.spec.shares]
        exact = assemble(whole.spec.shares, branches, dataset.selection).score_rows(dataset.selection.positives)
        same_weights = validation_of(dataset).score_with(exact).mean()[1]
        compressed = validation_of(dataset).score_with(found[1].fit.score_rows(dataset.selection.positives)).mean()[1]
        assert short.loss == pytest.approx(compressed / same_weights - 1)
        # Its figure is of users by whom its weights were not fitted, as that of the blend beside it.
        assert short.measured.ndcg.value == pytest.approx(whole.measured.ndcg.value + compressed - same_weights)

    def test_compression_is_told_on_users_by_whom_no_weight_was_fitted(self) -> None:
        def metrics(*values: float, coverage: float) -> UserMetrics:
            return UserMetrics(np.array(values), np.array(values) / 2, -np.array(values), {"coverage@20": coverage})

        short, exact = metrics(0.5, 0.9, 0.0, coverage=0.25), metrics(0.6, 0.9, 0.6, coverage=0.5)
        told = as_cross_fitted(short, exact, metrics(0.3, 0.8, 0.4, coverage=0.75))
        np.testing.assert_allclose(told.recall, [0.2, 0.8, 0.0])  # no metric is below 0
        np.testing.assert_allclose(told.ndcg, [0.1, 0.4, 0.0])
        assert told.judged is not None
        np.testing.assert_allclose(told.judged, [-0.2, -0.8, 0.2])
        assert told.values == {"coverage@20": 0.5}

    def test_it_stands_on_the_leaderboard_and_can_be_the_verdict(self, study: Study, tmp_path: Path) -> None:
        rows = [row for row in leaderboard(study)["rows"] if row["kind"] == "blend"]
        assert [row["name"] for row in rows] == [record.key for record in study.blends]
        whole, short = study.blends
        assert rows[0]["remark"].removeprefix("verdict, ") == f"{whole.scan_us:.0f} us per scan"
        assert rows[1]["remark"] == f"{short.loss:+.1%} ndcg, {short.scan_us:.0f} us per scan"
        assert [row["kind"] for row in leaderboard(study)["rows"]][3:5] == ["blend", "blend"]
        weak = go(tmp_path / "study", trials=4, slots=ToySlot(level=0.5))
        assert weak.verdict.kind == "blend"
        assert pick(weak, "verdict") == weak.blends[0].spec
        best = max(weak.blends, key=lambda record: record.measured.ndcg.value)
        assert status(weak)["best"] == {"name": best.key, "value": weak.best}

    def test_users_who_selected_no_model_fit_its_weights(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Of sixty users, forty select; the driver hands the others over."""
        asked: list[Any] = []

        def spying(*given: Any, **settings: Any) -> Any:
            asked.append(settings["fresh"])
            return blend(*given, **settings)

        monkeypatch.setattr("gnas_search.study.blending.blend", spying)
        go(tmp_path / "whole", trials=4)
        assert asked == [None]
        monkeypatch.setattr("gnas_search.evaluate.FRESH_USERS", (5, 1000))
        monkeypatch.setattr(
            "gnas_search.study.driver.validation_of", lambda dataset: validation_of(dataset, max_users=40)
        )
        slot = ToySlot()
        slot.users = 40
        found = go(tmp_path / "divided", trials=4, slots=slot)
        everybody = validation_of(make_dataset(), max_users=None).users
        assert len(asked[1].users) == len(everybody) - 40
        assert set(asked[1].users) < set(everybody)
        assert len(found.per_user(found.blends[0].key).ndcg) == 40

    def test_a_narrow_blend_is_not_compressed(self) -> None:
        dataset = make_dataset()
        best = {kind_of(spec): spec for spec in NARROW}
        fits = {kind: toy_fit(spec) for kind, spec in best.items()}
        found = blend_models(best, fits, dataset.selection, validation_of(dataset), seed=0)
        assert [one.record.spec.dims for one in found] == [None]

    def test_scanning_is_timed_for_one_user_at_a_time(self) -> None:
        dataset = make_dataset()
        asked: list[int] = []
        fit = toy_fit(NARROW[0])

        class Counting:
            def score_rows(self, histories: Any) -> Callable[[Any], Any]:
                score = fit.score_rows(histories)

                def counted(rows: Any) -> Any:
                    asked.append(len(rows))
                    return score(rows)

                return counted

        assert scan_us(Counting(), dataset.selection.positives, validation_of(dataset).users) > 0  # type: ignore[arg-type]
        assert set(asked) == {1}
        assert len(asked) > 5


class TestResumption:
    def test_nothing_new_is_nothing_to_blend(self, tmp_path: Path) -> None:
        before = go(tmp_path / "study", trials=4).blends
        watcher, slot = Ledger(), ToySlot()
        again = go(tmp_path / "study", trials=4, watcher=watcher, slots=slot)
        assert (watcher.blends, slot.jobs, slot.fitted) == ([], [], [])
        assert again.blends == before

    def test_a_trial_that_is_no_better_leaves_the_blend_alone(self, tmp_path: Path) -> None:
        """The first of twelve networks is one of the best; what comes later is worse or equal."""
        space = SearchSpace.from_json(
            {**SMALL, "start": [{"layers": ["gcn"], "embedding_dim": 16}, {"layers": ["gcn", "gcn"]}], "fixed": {}}
            | {"genes": {**SMALL["genes"], "embedding_dim": [16, 64]}}
        )
        before = go(tmp_path / "study", trials=1, space=space).blends
        watcher = Ledger()
        again = go(tmp_path / "study", trials=2, watcher=watcher)
        assert len(keys(again)) == 2
        assert watcher.blends == []
        assert again.blends == before

    def test_a_better_part_makes_it_anew(self, tmp_path: Path) -> None:
        space = SearchSpace.from_json(
            {**SMALL, "start": [{"layers": ["gcn", "gcn"], "embedding_dim": 16}, {"layers": ["gcn"]}]}
            | {"genes": {**SMALL["genes"], "embedding_dim": [16, 64]}}
        )
        before = [share.spec for share in go(tmp_path / "study", trials=1, space=space).blends[0].spec.shares]
        watcher = Ledger()
        again = go(tmp_path / "study", trials=2, watcher=watcher)
        best = again.best_of("gnn")
        assert best is not None
        assert best.number == 1
        assert len(watcher.blends) == 1
        assert best.spec in [share.spec for share in again.blends[0].spec.shares]
        assert best.spec not in before
        assert watcher.blends[0] == tuple(record.key for record in again.blends)
        assert leaderboard(again)["verdict"] is not None

    def test_stopped_in_the_middle_of_blending_it_is_made_by_the_next_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = go(tmp_path / "whole", trials=4)
        with monkeypatch.context() as patched:
            patched.setattr("gnas_search.study.blending.blend_models", lambda *_, **__: interrupt())
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path / "study", trials=4)
        assert Study.load(tmp_path / "study").blends == ()
        again = go(tmp_path / "study", trials=4)
        assert [record.spec for record in again.blends] == [record.spec for record in whole.blends]


def about_blends(notes: list[str]) -> list[str]:
    return [note for note in notes if "blend" in note]


class TestFailure:
    def test_a_blend_that_fails_leaves_the_study_its_models_and_is_tried_again(self, tmp_path: Path) -> None:
        folder, watcher = tmp_path / "study", Ledger()
        slot = ToySlot(refuses=np.linalg.LinAlgError("singular"))
        failed = go(folder, trials=4, watcher=watcher, slots=slot)
        assert watcher.failures == ["LinAlgError: singular"]
        assert (failed.blends, failed.blend_failure) == ((), "LinAlgError: singular")
        assert failed.verdict.kind == "gnn"
        for shown in (leaderboard(failed), status(failed)):
            assert about_blends(shown["notes"]) == ["no blend: LinAlgError: singular"]
        with pytest.raises(NoViableTrialError, match="it has no blend: making it failed: LinAlgError: singular"):
            pick(failed, "blend")
        watcher = Ledger()
        again = go(folder, trials=4, watcher=watcher)
        assert (watcher.failures, len(watcher.blends)) == ([], 1)
        assert (len(again.blends), again.blend_failure, about_blends(leaderboard(again)["notes"])) == (2, "", [])

    def test_the_blend_before_stays_beside_one_that_failed(self, tmp_path: Path) -> None:
        space = SearchSpace.from_json(
            {**SMALL, "start": [{"layers": ["gcn", "gcn"], "embedding_dim": 16}, {"layers": ["gcn"]}]}
            | {"genes": {**SMALL["genes"], "embedding_dim": [16, 64]}}
        )
        before = go(tmp_path / "study", trials=1, space=space).blends
        again = go(tmp_path / "study", trials=2, slots=ToySlot(refuses=MemoryError("no more")))
        assert again.blends == before
        assert about_blends(leaderboard(again)["notes"]) == ["no new blend: MemoryError: no more"]
        assert pick(again, "blend") == before[0].spec

    def test_which_way_there_is_no_blend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("gnas_search.study.blending.blend_models", lambda *_, **__: interrupt())
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path / "study", trials=4)
        with pytest.raises(NoViableTrialError, match="it has no blend: none was made yet"):
            pick(Study.load(tmp_path / "study"), "blend")
        with monkeypatch.context() as patched:
            patched.setattr("gnas_search.study.blending.blend_models", lambda *_, **__: [])
            alone = go(tmp_path / "study", trials=4)
        with pytest.raises(NoViableTrialError, match="it has no blend: none is better than its best part"):
            pick(alone, "blend")
        assert about_blends(leaderboard(alone)["notes"]) == []


def test_a_blend_names_the_parts_that_have_names(study: Study) -> None:
    simple = next(baseline for baseline in study.baselines if baseline.name == "svd")
    network = study.best_of("gnn")
    assert network is not None
    assert network.spec is not None
    spec = BlendSpec((Share(simple.spec, 0.25), Share(network.spec, 0.75)), 128)
    assert study.describe(spec) == f"0.25 svd + 0.75 {network.key}, as 128 dims"
    assert study.describe(replace(spec, dims=None)) == f"0.25 svd + 0.75 {network.key}"
    described = {row["name"]: row["model"] for row in leaderboard(study)["rows"] if row["kind"] == "blend"}
    assert described == {record.key: study.describe(record.spec) for record in study.blends}


class TestKeptModel:
    def test_the_best_network_is_kept_and_not_trained_again(self, tmp_path: Path) -> None:
        slot = ToySlot()
        study = go(tmp_path / "study", trials=3, slots=slot)  # one network: others may be kept for being close to it
        best = study.best_of("gnn")
        assert best is not None
        assert kept_files(study.folder) == [best.key]
        assert best.key not in slot.fitted
        assert len(slot.fitted) == 3  # closed forms are quick to make again
        kept = KeptModels(study.folder).find(best.key)
        assert kept is not None
        np.testing.assert_array_equal(kept.user_vectors, toy_fit(best.spec).user_vectors)  # type: ignore[arg-type]
        assert (kept.branches[0].facts.name, kept.epochs) == (best.key, 1)
        assert KeptModels(study.folder).find("gnn-0000000000") is None

    @pytest.mark.parametrize("damage", [b"", b"\x05", b"\xff" * 64, None])
    def test_damaged_or_gone_it_is_made_again(self, tmp_path: Path, damage: bytes | None) -> None:
        folder = tmp_path / "study"
        networks = small_space().to_json()
        first = go(folder, trials=1, space=SearchSpace.from_json(networks))
        key, before = first.trials[0].key, [record.spec for record in first.blends]
        (path,) = (folder / MODELS).iterdir()
        whole = path.read_bytes()
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage or whole[: len(whole) // 2])
        assert KeptModels(folder).find(key) is None
        journal = folder / "journal.log"
        journal.write_bytes(b"".join(line for line in journal.read_bytes().splitlines(True) if b'"blend' not in line))
        slot = ToySlot()
        again = go(folder, trials=1, slots=slot)
        assert key in slot.fitted
        assert [record.spec for record in again.blends] == before

    def test_another_model_takes_its_place(self, tmp_path: Path) -> None:
        kept = KeptModels(tmp_path)
        kept.keep("gnn-a", toy_fit(NARROW[0]))
        kept.keep("gnn-b", toy_fit(NARROW[1]))
        assert kept_files(tmp_path) == ["gnn-b"]
        found = kept.find("gnn-b")
        assert found is not None
        assert found.branches[0].fold_in is not None

    def test_a_disk_that_is_full_leaves_the_model_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = KeptModels(tmp_path)
        kept.keep("gnn-a", toy_fit(NARROW[0]))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", full)
            with pytest.raises(OSError, match="No space left"):
                kept.keep("gnn-b", toy_fit(NARROW[0]))
        assert kept_files(tmp_path) == ["gnn-a"]
