"""Checkpoints of closed forms and blends: both fits are the sum of their parts, and repeat to the byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from communities import NUM_ITEMS, NUM_USERS, SMALL, make_communities

from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form import ClosedFormSpec, FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Validation, validation_of
from gnas_search.fit import Fit
from gnas_search.selection import fit_selected
from gnas_search.specs import BlendSpec, Share, read_spec
from gnas_search.train import train_checkpoint

BLEND = BlendSpec(
    (
        Share(TwoHopSpec(neighbours=20), 0.8, 0.5, 0.6),
        Share(FilterSpec(rank=8), 1.2, 0.3, 0.8),
        Share(SMALL, 0.5, 0.2),
        Share(PopularitySpec(), 0.1),
    )
)
CLOSED = [FilterSpec(rank=8), FilterSpec(response="ridge", rank=8, edges="all"), TwoHopSpec(), PopularitySpec()]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_communities()


@pytest.fixture(scope="module")
def validation(dataset: Dataset) -> Validation:
    return validation_of(dataset)


@pytest.mark.parametrize("spec", CLOSED, ids=lambda spec: f"{spec.KIND} {getattr(spec, 'edges', '')}")
def test_a_closed_form_becomes_an_ordinary_checkpoint(
    spec: ClosedFormSpec, dataset: Dataset, validation: Validation, tmp_path: Path
) -> None:
    checkpoint = train_checkpoint(dataset, spec, seed=0)
    assert checkpoint.name == spec.key()
    assert read_spec(checkpoint.spec) == spec
    assert checkpoint.selection.epochs == checkpoint.final.epochs == 0
    selected = fit_selected(spec, dataset.selection, validation, seed=0)
    assert checkpoint.metrics == dict(zip(("recall@20", "ndcg@20"), selected.metrics.mean(), strict=True))
    assert (selected.best_epoch, selected.history, selected.stopped, selected.num_parameters) == (0, (), "", 0)
    assert selected.peak_bytes > 1 << 20
    whole = Fit(with_prior(fit_closed_form(spec, dataset.final, seed=0), dataset.final), 0)
    np.testing.assert_array_equal(all_scores(checkpoint.final, dataset.final), all_scores(whole, dataset.final))
    checkpoint.save(tmp_path / "checkpoint")
    again = Checkpoint.load(tmp_path / "checkpoint")
    np.testing.assert_array_equal(all_scores(again.final, dataset.final), all_scores(whole, dataset.final))
    assert again.selection.branches[0].facts == checkpoint.selection.branches[0].facts


def all_scores(fit: Fit, graph: InteractionGraph) -> np.ndarray:
    return fit.score_rows(graph.positives)(np.arange(NUM_USERS))


def test_a_blend_is_the_sum_of_its_parts_in_both_fits(dataset: Dataset, validation: Validation, tmp_path: Path) -> None:
    told: list[EpochResult] = []
    checkpoint = train_checkpoint(dataset, BLEND, seed=0, on_epoch=told.append)
    assert len(told) >= 1  # of its network
    parts = [train_checkpoint(dataset, share.spec, seed=0) for share in BLEND.shares]
    assert checkpoint.final.epochs == checkpoint.selection.epochs == parts[2].final.epochs
    for fit, graph, singles in (
        (checkpoint.selection, dataset.selection, [part.selection for part in parts]),
        (checkpoint.final, dataset.final, [part.final for part in parts]),
    ):
        lengths = np.maximum(np.diff(graph.positives.indptr), 1.0)[:, None]
        expected = np.zeros((NUM_USERS, NUM_ITEMS))
        for share, single in zip(BLEND.shares, singles, strict=True):
            branch = single.branches[0]
            scores = all_scores(Fit((branch,), 0), graph)
            if branch.facts.kind in ("filter", "two-hop"):
                scores = scores * lengths ** (branch.facts.history_power - share.history_power)
            expected += share.weight / share.spread * scores
        np.testing.assert_allclose(all_scores(fit, graph), expected, rtol=1e-4, atol=1e-4)
    measured = validation.score_with(checkpoint.selection.score_rows(dataset.selection.positives)).mean()
    assert (checkpoint.metrics["recall@20"], checkpoint.metrics["ndcg@20"]) == measured
    checkpoint.save(tmp_path / "checkpoint")
    again = Checkpoint.load(tmp_path / "checkpoint")
    assert read_spec(again.spec) == BLEND.canonical()
    for name in ("selection", "final"):
        one, other = getattr(again, name), getattr(checkpoint, name)
        assert [branch.facts for branch in one.branches] == [branch.facts for branch in other.branches]
        np.testing.assert_array_equal(all_scores(one, dataset.final), all_scores(other, dataset.final))


def test_selected_on_a_sample_of_users_and_measured_on_all(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampling(dataset: Dataset, *, max_users: int | None = 10) -> Validation:
        return validation_of(dataset, max_users=max_users)

    monkeypatch.setattr("gnas_search.train.validation_of", sampling)
    checkpoint = train_checkpoint(dataset, FilterSpec(rank=4), seed=0)
    score = checkpoint.selection.score_rows(dataset.selection.positives)
    everybody = validation_of(dataset, max_users=None).score_with(score)
    assert (checkpoint.metrics["recall@20"], checkpoint.metrics["ndcg@20"]) == everybody.mean()
    assert everybody.mean() != validation_of(dataset, max_users=10).score_with(score).mean()
    assert len(everybody.ndcg) == (np.diff(dataset.valid.indptr) > 0).sum() > 50


@pytest.mark.parametrize("dims", [None, 6])
def test_a_blend_is_trained_to_the_same_bytes(dataset: Dataset, tmp_path: Path, dims: int | None) -> None:
    spec = replace(BLEND, dims=dims)
    for name in ("one", "other"):
        train_checkpoint(dataset, spec, seed=5).save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


def test_a_compressed_blend_is_one_short_branch(dataset: Dataset) -> None:
    whole, short = (train_checkpoint(dataset, replace(BLEND, dims=dims), seed=0) for dims in (None, 6))
    for name in ("selection", "final"):
        fit = getattr(short, name)
        assert [(branch.facts.name, branch.facts.width) for branch in fit.branches] == [(short.name, 6)]
        assert fit.epochs == getattr(whole, name).epochs
        scores = all_scores(getattr(whole, name), getattr(dataset, name))
        left, values, right = np.linalg.svd(scores, full_matrices=False)
        best = np.linalg.norm(scores - (left[:, :6] * values[:6]) @ right[:6])
        found = np.linalg.norm(scores - all_scores(fit, getattr(dataset, name)))
        assert found <= 1.02 * best
