import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.runtime.cold_start import FoldIn, Popularity, history_vector
from gnas_serve.runtime.embeddings import EmbeddingTable


def _table(num_items=30, dim=6, seed=0):
    return EmbeddingTable(np.random.default_rng(seed).normal(size=(num_items, dim)).astype(np.float32))


@given(seed=st.integers(0, 1000))
def test_a_history_is_summarised_alike_in_any_order(seed):
    rng = np.random.default_rng(seed)
    vectors, counts = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 50, 9)
    order = rng.permutation(9)
    np.testing.assert_allclose(
        history_vector(vectors, counts), history_vector(vectors[order], counts[order]), rtol=1e-4, atol=1e-6
    )


def test_a_history_vector_is_the_symmetric_normalised_sum_and_a_constant():
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    expected = [*(vectors[0] / np.sqrt(4 * 2) + vectors[1] / np.sqrt(9 * 2)).tolist(), 1.0]
    assert history_vector(vectors, np.array([4, 9])) == pytest.approx(expected)


def test_an_empty_history_is_the_constant_alone():
    assert history_vector(np.empty((0, 3), np.float32), np.empty(0, np.int32)).tolist() == [0, 0, 0, 1]


def test_fold_in_applies_its_map_and_the_unit_length_of_cosine_models():
    table, counts = _table(), np.full(30, 5, np.int32)
    matrix = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)
    rows = np.array([2, 3, 11])
    plain = FoldIn(matrix, table, counts, unit_length=False).vector(rows)
    np.testing.assert_allclose(plain, history_vector(table.rows(rows), counts[rows]) @ matrix, rtol=1e-5)
    unit = FoldIn(matrix, table, counts, unit_length=True).vector(rows)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain), rtol=1e-5)


def test_a_map_of_another_width_is_refused():
    with pytest.raises(ValueError, match="fold-in matrix of shape"):
        FoldIn(np.zeros((6, 6), np.float32), _table(), np.ones(30, np.int32), unit_length=False)


def test_popularity_orders_by_count_then_row_without_what_is_excluded():
    rows, scores = Popularity(np.array([3, 9, 3, 0], np.int32)).retrieve(3, np.array([1]))
    assert rows.tolist() == [0, 2, 3]
    assert scores == pytest.approx(np.log1p([3, 3, 0]))
