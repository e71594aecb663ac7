"""The simple models on data whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.baselines import BASELINES, SVD_DIMS, ItemKnn, TruncatedSvd, item_similarities, measure_baseline
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
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


@pytest.mark.parametrize("name", ["item-knn", "svd"])
def test_structure_is_found(name: str, checkerboard: tuple[InteractionGraph, Validation]) -> None:
    measured = measure_baseline(name, *checkerboard, seed=0)
    assert measured.metrics.mean()[1] > 0.99
    assert measured.seconds > 0


def test_popularity_finds_no_structure(checkerboard: tuple[InteractionGraph, Validation]) -> None:
    assert measure_baseline("popularity", *checkerboard, seed=0).metrics.mean()[1] < 0.6


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_answers_alike_by_vectors_and_by_rows(
    name: str, checkerboard: tuple[InteractionGraph, Validation]
) -> None:
    graph, validation = checkerboard
    baseline = BASELINES[name].tuned(graph, validation, 0)
    assert baseline.name == name == baseline.to_json()["baseline"]
    rows = np.array([3, 4, 199])
    scores = baseline.score_rows(graph, 0)(rows)
    assert scores.shape == (3, 150)
    assert scores.dtype == np.float32
    vectors = baseline.fit_vectors(graph, 0)
    assert baseline.servable == (vectors is not None)
    if vectors is not None:
        np.testing.assert_allclose(vectors[0][rows] @ vectors[1].T, scores, rtol=1e-5, atol=1e-6)
        assert all(part.dtype == np.float32 for part in vectors)


def test_popularity_orders_items_by_their_interactions() -> None:
    graph = _graph(np.array([[1, 0, 1], [1, 0, 0]]))
    users, items = BASELINES["popularity"].fit_vectors(graph, 0)
    np.testing.assert_allclose(items[:, 0], np.log([3, 1, 2]))
    assert users.tolist() == [[1.0], [1.0]]


def test_svd_of_full_rank_rebuilds_the_interactions_in_each_users_order() -> None:
    matrix = (np.random.default_rng(1).random((12, 9)) < 0.4).astype(np.float32)
    matrix[:, 0] = 1
    users, items = TruncatedSvd(64).fit_vectors(_graph(matrix), 0)
    assert users.shape[1] == 9
    expected = matrix / np.sqrt(matrix.sum(1, keepdims=True))
    np.testing.assert_allclose(users @ items.T, expected, atol=1e-4)


def test_svd_dims_are_those_with_the_best_validation() -> None:
    rng = np.random.default_rng(2)
    low_rank = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 200)) > 1.5
    held_out = low_rank & (rng.random(low_rank.shape) < 0.2)
    graph = _graph(low_rank & ~held_out)
    validation = Validation(graph.positives, sp.csr_matrix(held_out.astype(np.float32)), max_users=None, seed=0)
    tuned = TruncatedSvd().tuned(graph, validation, 0)
    ndcg = {dims: validation.score(*TruncatedSvd(dims).fit_vectors(graph, 0)).mean()[1] for dims in SVD_DIMS}
    assert max(ndcg.values()) - min(ndcg.values()) > 0.02
    assert tuned.dims == max(ndcg, key=ndcg.__getitem__)


def test_item_similarities_are_cosines_of_the_strongest_neighbours() -> None:
    matrix = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0]])
    similar = item_similarities(sp.csr_matrix(matrix.astype(np.float32)), 1).toarray()
    close = 2 / np.sqrt(2 * 3)
    expected = [[0, close, 0, 0], [close, 0, 0, 0], [0, close, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(similar, expected, rtol=1e-6)


def test_item_similarities_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sp.csr_matrix((np.random.default_rng(3).random((30, 20)) < 0.3).astype(np.float32))
    whole = item_similarities(matrix, 5).toarray()
    monkeypatch.setattr("gnas_search.baselines._ITEM_BLOCK", 3)
    np.testing.assert_array_equal(item_similarities(matrix, 5).toarray(), whole)
    assert ((whole > 0).sum(axis=1) <= 5).all()


def test_an_unknown_baseline_names_the_nearest(checkerboard: tuple[InteractionGraph, Validation]) -> None:
    with pytest.raises(ConfigError, match="popularity"):
        measure_baseline("popularty", *checkerboard, seed=0)


def test_names_are_their_keys() -> None:
    assert [baseline.name for baseline in BASELINES.values()] == list(BASELINES) == sorted(BASELINES)
    assert not ItemKnn().servable
