"""The simple models on data whose right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.baselines import BASELINES, SVD_DIMS, baseline_spec, measure_baseline
from gnas_search.closed_form import FilterSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.operators.adjacency import normalised
from gnas_search.spectral import truncated_svd
from gnas_serve.errors import ConfigError


def _graph(matrix: np.ndarray) -> InteractionGraph:
    positives = sp.csr_matrix(matrix.astype(np.float32))
    return InteractionGraph(positives, positives)


@pytest.fixture(scope="module")
def checkerboard() -> tuple[InteractionGraph, Validation]:
    """Even users like even items, odd users odd ones; a fifth of that is held out."""
    rng = np.random.default_rng(0)
    liked = (np.arange(200)[:, None] + np.arange(150)) % 2 == 0
    held_out = liked & (rng.random(liked.shape) < 0.2)
    graph = _graph(liked & ~held_out)
    return graph, Validation(graph.positives, sp.csr_matrix(held_out.astype(np.float32)), max_users=None, seed=0, k=10)


@pytest.fixture(scope="module")
def low_rank() -> tuple[InteractionGraph, Validation]:
    """Four tastes and what they like best; a fifth of that is held out."""
    rng = np.random.default_rng(2)
    liked = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 200)) > 1.5
    held_out = liked & (rng.random(liked.shape) < 0.2)
    graph = _graph(liked & ~held_out)
    return graph, Validation(graph.positives, sp.csr_matrix(held_out.astype(np.float32)), max_users=None, seed=0)


@pytest.mark.parametrize("name", ["item-knn", "svd"])
def test_structure_is_found(name: str, checkerboard: tuple[InteractionGraph, Validation]) -> None:
    measured = measure_baseline(name, *checkerboard, seed=0)
    assert measured.name == name
    assert measured.metrics.mean()[1] > 0.99
    assert measured.seconds > 0


def test_popularity_finds_no_structure(checkerboard: tuple[InteractionGraph, Validation]) -> None:
    assert measure_baseline("popularity", *checkerboard, seed=0).metrics.mean()[1] < 0.6


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_what_is_measured_is_the_fit_of_the_chosen_spec(
    name: str, low_rank: tuple[InteractionGraph, Validation]
) -> None:
    graph, validation = low_rank
    measured = measure_baseline(name, graph, validation, seed=0)
    branches = with_prior(fit_closed_form(measured.spec, graph, seed=0, spectra=Spectra(graph, 0)), graph)
    again = validation.score_with(Fit(branches, 0).score_rows(graph.positives))
    np.testing.assert_array_equal(again.ndcg, measured.metrics.ndcg)


def test_item_knn_sums_cosines_to_the_most_similar_of_a_history() -> None:
    matrix = (np.random.default_rng(3).random((40, 12)) < 0.4).astype(np.float32)
    graph = _graph(matrix)
    branch = fit_closed_form(replace(BASELINES["item-knn"], neighbours=3), graph, seed=0, history_power=0.0)
    cosines = matrix.T @ matrix / np.sqrt(np.outer(matrix.sum(0), matrix.sum(0)))
    np.fill_diagonal(cosines, 0)
    for target in cosines.T:
        target[np.argsort(-target, kind="stable")[3:]] = 0
    scores = Fit(with_prior(branch, graph), 0).score_rows(graph.positives)(np.arange(40))
    np.testing.assert_allclose(scores, matrix @ cosines, rtol=1e-5, atol=1e-6)


def test_svd_ranks_as_the_decomposition_does(low_rank: tuple[InteractionGraph, Validation]) -> None:
    graph, validation = low_rank
    left, values, right = (
        part[..., :32] for part in truncated_svd(normalised(graph.positives), 512, 0)
    )  # the randomised decomposition that every filter of up to 512 columns takes its leading columns of
    counts = np.bincount(graph.positives.indices, minlength=graph.num_items)
    users, items = (left * values).numpy(), right.numpy() * np.sqrt(counts)[:, None]
    branch = fit_closed_form(replace(BASELINES["svd"], rank=32), graph, seed=0)
    np.testing.assert_allclose(branch.user_vectors @ branch.item_vectors.T, users @ items.T, atol=1e-4)
    expected = validation.score(users, items.astype(np.float32))
    measured = validation.score(branch.user_vectors, branch.item_vectors)
    np.testing.assert_allclose(measured.ndcg.mean(), expected.ndcg.mean(), atol=1e-3)


def test_svd_dims_are_those_with_the_best_validation(low_rank: tuple[InteractionGraph, Validation]) -> None:
    graph, validation = low_rank
    ndcg = {}
    for dims in SVD_DIMS:
        branch = fit_closed_form(replace(BASELINES["svd"], rank=dims), graph, seed=0)
        ndcg[dims] = validation.score(branch.user_vectors, branch.item_vectors).mean()[1]
    assert max(ndcg.values()) - min(ndcg.values()) > 0.02
    chosen = baseline_spec("svd", graph, validation, seed=0)
    assert isinstance(chosen, FilterSpec)
    assert chosen.rank == max(ndcg, key=ndcg.__getitem__)


def test_an_unknown_baseline_names_the_nearest(checkerboard: tuple[InteractionGraph, Validation]) -> None:
    with pytest.raises(ConfigError, match="popularity"):
        measure_baseline("popularty", *checkerboard, seed=0)


def test_names_are_sorted() -> None:
    assert list(BASELINES) == sorted(BASELINES)
