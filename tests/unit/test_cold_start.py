import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.artifact.branches import TWO_HOP, BranchFacts, spans
from gnas_serve.runtime.cold_start import FoldIn, Popularity, history_vector
from gnas_serve.runtime.embeddings import EmbeddingTable

SINGLE = (BranchFacts("one", "gnn", 6),)
UNIT = (BranchFacts("one", "gnn", 6, unit_length=True),)
BLEND = (
    BranchFacts("low-pass", "filter", 3, item_power=0.2, history_power=1.0),
    BranchFacts("links", TWO_HOP, 0),
    BranchFacts("net", "gnn", 2, unit_length=True),
    BranchFacts("prior", "popularity", 1),
)


def _table(num_items=30, branches=SINGLE, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(num_items, 6)).astype(np.float32)
    return EmbeddingTable(vectors, columns=spans(branches))


@given(seed=st.integers(0, 1000))
def test_a_history_is_summarised_alike_in_any_order(seed):
    rng = np.random.default_rng(seed)
    vectors, counts = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 50, 9)
    order = rng.permutation(9)
    np.testing.assert_allclose(
        history_vector(vectors, counts, 0.5, 0.5),
        history_vector(vectors[order], counts[order], 0.5, 0.5),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_history_vector_is_the_weighted_sum_and_a_constant():
    vectors, counts = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([4, 9])
    symmetric = [*(vectors[0] / np.sqrt(4 * 2) + vectors[1] / np.sqrt(9 * 2)).tolist(), 1.0]
    assert history_vector(vectors, counts, 0.5, 0.5) == pytest.approx(symmetric)
    assert history_vector(vectors, counts, 0.0, 1.0) == pytest.approx([2.0, 3.0, 1.0])
    assert history_vector(vectors, counts, 1.0, 0.0) == pytest.approx([1 / 4 + 3 / 9, 2 / 4 + 4 / 9, 1.0])


def test_an_empty_history_is_the_constant_alone():
    assert history_vector(np.empty((0, 3), np.float32), np.empty(0, np.int32), 0.5, 0.5).tolist() == [0, 0, 0, 1]


def test_fold_in_applies_its_map_and_the_unit_length_of_cosine_models():
    table, counts = _table(), np.full(30, 5, np.int32)
    matrix = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    rows = np.array([2, 3, 11])
    plain = FoldIn(matrix.ravel(), table, counts, SINGLE).vector(rows)
    np.testing.assert_allclose(plain, history_vector(table.rows(rows), counts[rows], 0.5, 0.5) @ matrix, rtol=1e-5)
    unit = FoldIn(matrix.ravel(), table, counts, UNIT).vector(rows)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain), rtol=1e-5)


def test_each_branch_folds_in_with_its_own_map_and_powers():
    table, counts, rng = _table(branches=BLEND), np.arange(1, 31, dtype=np.int32), np.random.default_rng(1)
    maps = [rng.normal(size=(width + 1, width)).astype(np.float32) for width in (3, 2, 1)]
    rows = np.array([2, 3, 11])
    user = FoldIn(np.concatenate([matrix.ravel() for matrix in maps]), table, counts, BLEND).vector(rows)
    wide = [branch for branch in BLEND if branch.width]
    for branch, span, matrix in zip(wide, spans(BLEND), maps, strict=True):
        summary = history_vector(table.rows(rows)[:, span], counts[rows], branch.item_power, branch.history_power)
        alone = summary @ matrix
        if branch.unit_length:
            alone /= np.linalg.norm(alone)
        np.testing.assert_allclose(user[span], alone, rtol=1e-5)


def test_a_graph_filter_folds_in_exactly():
    """Users of a low-pass filter over normalised item-item co-occurrence, and their fold-in: one linear map."""
    rng = np.random.default_rng(0)
    seen = (rng.random((50, 30)) < 0.2).astype(np.float64)
    seen[seen.sum(axis=1) == 0, 0] = 1
    counts = np.maximum(seen.sum(axis=0), 1)
    walked = seen / np.sqrt(counts) / np.sqrt(seen.sum(axis=1, keepdims=True))
    basis = np.linalg.svd(walked)[2][:6].T  # (I, 6): the smoothest directions over items
    users = walked @ basis
    branches = (BranchFacts("ideal low-pass", "filter", 6),)
    table = EmbeddingTable(basis.astype(np.float32))
    identity = np.vstack([np.eye(6), np.zeros(6)]).astype(np.float32)
    fold_in = FoldIn(identity.ravel(), table, counts.astype(np.int32), branches)
    found = np.stack([fold_in.vector(np.flatnonzero(row)) for row in seen])
    np.testing.assert_allclose(found, users, atol=1e-6)


def test_maps_of_another_size_or_vectors_of_other_columns_are_refused():
    counts = np.ones(30, np.int32)
    with pytest.raises(ValueError, match="fold-in maps of shape"):
        FoldIn(np.zeros(36, np.float32), _table(), counts, SINGLE)
    with pytest.raises(ValueError, match="columns"):
        FoldIn(np.zeros(42, np.float32), _table(branches=BLEND), counts, SINGLE)


def test_popularity_orders_by_count_then_row_without_what_is_excluded():
    popularity = Popularity(np.array([3, 9, 3, 0], np.int32))
    rows, scores = popularity.retrieve(3, np.array([1]))
    assert rows.tolist() == [0, 2, 3]
    assert scores == pytest.approx(np.log1p([3, 3, 0]))
    assert popularity.parts(1) == {"popularity": pytest.approx(np.log(10))}
    rows, scores = popularity.retrieve(3, np.array([1]), np.array([1, 2, 3]))
    assert rows.tolist() == [2, 3]
    assert scores == pytest.approx(np.log1p([3, 0]))
    assert len(popularity.retrieve(3, np.array([1]), np.array([1]))[0]) == 0
