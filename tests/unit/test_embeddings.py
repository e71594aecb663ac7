import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows, sum_parts

_vectors = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 16)),
    elements=st.floats(-1e6, 1e6, width=32),
)
COLUMNS = (slice(0, 33), slice(33, 34), slice(34, 61))


@given(vectors=_vectors)
def test_round_trip_errs_by_at_most_half_a_scale(vectors):
    values, scales = quantize_rows(vectors)
    error = np.abs(EmbeddingTable(values, scales).dense().astype(np.float64) - vectors)
    assert (error <= 0.5001 * scales.astype(np.float64) + 1e-12).all()


@given(vectors=_vectors)
def test_the_greatest_element_of_a_row_uses_the_whole_range(vectors):
    values, _ = quantize_rows(vectors)
    assert np.abs(values.astype(int)).max() <= 127
    normal = np.abs(vectors).max(axis=1) > 1e-30
    assert (np.abs(values[normal].astype(int)).max(axis=1) == 127).all()


def test_what_only_denormal_scales_could_hold_is_zero():
    tiny = np.finfo(np.float32).tiny
    least = np.float32(127) * tiny
    below = np.nextafter(least, np.float32(0))
    rows = np.array([[least, -least / 2, 0], [below, -below, 0], [1e-43, 7e-45, -1e-43], [-1e-38, 0, 0]], np.float32)
    values, scales = quantize_rows(rows)
    assert scales[:, 0].tolist() == [tiny, 1, 1, 1]
    assert values.tolist() == [[127, -64, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


@given(vectors=_vectors, power=st.integers(-149, 127))
def test_no_scale_is_denormal_and_the_error_is_within_it(vectors, power):
    with np.errstate(over="ignore"):
        vectors = (vectors * np.float32(2.0**power)).clip(-3e38, 3e38)
    values, scales = quantize_rows(vectors)
    assert (scales >= np.finfo(np.float32).tiny).all()
    found = values.astype(np.float64) * scales
    is_zero = np.abs(vectors).max(axis=1) < 127 * np.finfo(np.float32).tiny
    assert (scales[is_zero] == 1).all()
    assert (found[is_zero] == 0).all()
    assert (np.abs(found - vectors)[~is_zero] <= 0.5001 * scales[~is_zero].astype(np.float64)).all()


@given(vectors=_vectors, data=st.data())
def test_each_branch_is_quantised_as_if_it_stood_alone(vectors, data):
    middle = data.draw(st.integers(0, vectors.shape[1]))
    columns = (slice(0, middle), slice(middle, vectors.shape[1])) if 0 < middle < vectors.shape[1] else None
    values, scales = quantize_rows(vectors, columns)
    for place, span in enumerate(columns or (slice(0, vectors.shape[1]),)):
        alone = quantize_rows(np.ascontiguousarray(vectors[:, span]))
        np.testing.assert_array_equal(values[:, span], alone[0])
        np.testing.assert_array_equal(scales[:, place], alone[1][:, 0])


def test_a_single_column_survives_int8():
    popularity = np.log1p(np.arange(1000, dtype=np.float32))[:, None] * np.float32(0.3)
    table = EmbeddingTable(*quantize_rows(popularity))
    np.testing.assert_allclose(table.dense(), popularity, rtol=2e-7)


@given(vectors=_vectors, data=st.data())
def test_rows_row_dense_and_score_agree(vectors, data):
    table = EmbeddingTable(*quantize_rows(vectors))
    rows = np.array(data.draw(st.lists(st.integers(0, len(vectors) - 1), min_size=1)))
    np.testing.assert_array_equal(table.rows(rows), table.dense()[rows])
    np.testing.assert_array_equal(table.row(int(rows[0])), table.rows(rows)[0])
    query = np.ones(table.dim, np.float32)
    expected = table.dense()[rows].astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(table.score(query, rows), expected, rtol=1e-4, atol=1e-3 * np.abs(vectors).max())


def _tables(columns=None):
    vectors = np.random.default_rng(0).normal(size=(500, 61)).astype(np.float32)
    yield EmbeddingTable(*quantize_rows(vectors, columns), columns)
    yield EmbeddingTable(vectors.astype(np.float16), columns=columns)
    yield EmbeddingTable(vectors, columns=columns)


@pytest.mark.parametrize("columns", [None, COLUMNS])
def test_the_score_of_a_pair_does_not_depend_on_its_place(columns):
    query = np.random.default_rng(1).normal(size=61).astype(np.float32)
    for table in _tables(columns):
        together = table.score(query, np.arange(500))
        alone = np.array([table.score(query, np.array([row]))[0] for row in range(500)])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(together[::-3], table.score(query, np.arange(500)[::-3]))


def test_the_parts_of_a_score_are_the_inner_products_of_the_branches_and_add_up_to_it():
    query, rows = np.random.default_rng(1).normal(size=61).astype(np.float32), np.array([3, 499, 0, 3])
    for table in _tables(COLUMNS):
        parts, vectors = table.score_parts(query, rows), table.rows(rows).astype(np.float64)
        for place, span in enumerate(COLUMNS):
            np.testing.assert_allclose(parts[:, place], vectors[:, span] @ query[span], rtol=1e-5, atol=1e-5)
            scored = table.as_scored(query[None])[0, span]
            np.testing.assert_allclose(parts[:, place], vectors[:, span] @ scored, rtol=1e-6, atol=2e-6)
        np.testing.assert_array_equal(table.score(query, rows), (parts[:, 0] + parts[:, 1]) + parts[:, 2])
        np.testing.assert_array_equal(table.rows(rows), table.dense()[rows])


def test_parts_are_added_from_the_first_to_the_last_whatever_their_layout():
    parts = np.array([[1e8, 1.0, -1e8, 1.0]], np.float32)
    assert sum_parts(parts).tolist() == sum_parts(np.asfortranarray(np.repeat(parts, 9, axis=0)))[:1].tolist() == [1.0]


def test_float16_is_read_bit_for_bit():
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits[(bits & 0x7C00) != 0x7C00].view(np.float16)  # all but infinities and NaN
    table = EmbeddingTable(halves.reshape(-1, 1024))
    read = table.rows(np.arange(len(table)))
    assert np.array_equal(read.view(np.uint32), table.values.astype(np.float32).view(np.uint32))


def test_refuses_int8_without_scales_and_floats_with_them():
    with pytest.raises(ValueError, match="scales"):
        EmbeddingTable(np.zeros((2, 2), np.int8))
    with pytest.raises(ValueError, match="scales"):
        EmbeddingTable(np.zeros((2, 2), np.float32), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match="scales"):
        EmbeddingTable(np.zeros((2, 2), np.int8), np.ones((2, 2), np.float32))


@pytest.mark.parametrize(
    "columns", [(), (slice(0, 2),), (slice(0, 1), slice(2, 3)), (slice(1, 3),), (slice(0, 2), slice(1, 3))]
)
def test_refuses_columns_that_do_not_divide_the_vectors(columns):
    with pytest.raises(ValueError, match="columns"):
        EmbeddingTable(np.zeros((2, 3), np.float32), columns=columns)
