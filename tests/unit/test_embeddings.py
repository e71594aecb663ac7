import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows

_vectors = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 16)),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(vectors=_vectors)
def test_round_trip_errs_by_at_most_half_a_scale(vectors):
    values, scales = quantize_rows(vectors)
    error = np.abs(EmbeddingTable(values, scales).dense().astype(np.float64) - vectors)
    assert (error <= 0.5001 * scales[:, None].astype(np.float64) + 1e-12).all()


@given(vectors=_vectors)
def test_the_greatest_element_of_a_row_uses_the_whole_range(vectors):
    values, _ = quantize_rows(vectors)
    assert np.abs(values.astype(int)).max() <= 127
    normal = np.abs(vectors).max(axis=1) > 1e-30
    assert (np.abs(values[normal].astype(int)).max(axis=1) == 127).all()


@given(vectors=_vectors, data=st.data())
def test_rows_row_dense_and_score_agree(vectors, data):
    table = EmbeddingTable(*quantize_rows(vectors))
    rows = np.array(data.draw(st.lists(st.integers(0, len(vectors) - 1), min_size=1)))
    np.testing.assert_array_equal(table.rows(rows), table.dense()[rows])
    np.testing.assert_array_equal(table.row(int(rows[0])), table.rows(rows)[0])
    query = np.ones(table.dim, np.float32)
    expected = table.dense()[rows].astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(table.score(query, rows), expected, rtol=1e-4, atol=1e-3 * np.abs(vectors).max())


def test_the_score_of_a_pair_does_not_depend_on_its_place():
    rng = np.random.default_rng(0)
    table = EmbeddingTable(*quantize_rows(rng.normal(size=(500, 61)).astype(np.float32)))
    query = rng.normal(size=61).astype(np.float32)
    together = table.score(query, np.arange(500))
    alone = np.array([table.score(query, np.array([row]))[0] for row in range(500)])
    np.testing.assert_array_equal(together, alone)


def test_refuses_int8_without_scales_and_floats_with_them():
    with pytest.raises(ValueError, match="scales"):
        EmbeddingTable(np.zeros((2, 2), np.int8))
    with pytest.raises(ValueError, match="scales"):
        EmbeddingTable(np.zeros((2, 2), np.float32), np.ones(2, np.float32))
