import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.runtime import neighbours as module
from gnas_serve.runtime.neighbours import Neighbours


def _random(seed, num_items=40, share=0.15, dtype=np.float32):
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((num_items, num_items)) < share, rng.uniform(0.1, 3, (num_items, num_items)), 0)
    return sp.csr_matrix(dense.astype(dtype).astype(np.float32))


def _served(matrix, power, dtype=np.float32):
    return Neighbours(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(dtype), power)


@given(
    seed=st.integers(0, 10_000),
    length=st.integers(0, 12),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=st.sampled_from([np.float32, np.float16]),
)
def test_scores_are_the_sum_of_the_rows_of_the_history(seed, length, power, dtype):
    matrix = _random(seed, dtype=dtype)
    history = np.sort(np.random.default_rng(seed).choice(40, length, replace=False))
    expected = np.asarray(matrix[history].astype(np.float64).sum(axis=0)).ravel() / max(length, 1) ** power
    neighbours = _served(matrix, power, dtype)
    np.testing.assert_allclose(neighbours.scores(history), expected, rtol=1e-6)
    links = neighbours.links(history)
    assert np.array_equal(links.rows, np.flatnonzero(expected))
    assert neighbours.lead_anywhere(history) == bool(expected.any())


@given(seed=st.integers(0, 10_000), length=st.integers(1, 12))
def test_what_each_item_adds_makes_up_the_score(seed, length):
    matrix = _random(seed)
    rng = np.random.default_rng(seed)
    history, rows = rng.choice(40, length, replace=False), rng.choice(40, rng.integers(1, 9), replace=False)
    weights = rng.random(len(rows))
    neighbours = _served(matrix, 0.5)
    shares = neighbours.shares(history, rows, weights)
    assert shares == pytest.approx(matrix[history][:, rows].toarray() @ weights * length**-0.5)
    assert shares.sum() == pytest.approx(float(neighbours.scores(history)[rows] @ weights), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_sorting_the_links_and_totals_for_every_item_give_the_same_numbers(monkeypatch, dtype):
    neighbours = _served(_random(3, 300, 0.3), 0.5, dtype)
    history = np.arange(0, 300, 7)
    found = []
    for factor in (0, 10**9):
        monkeypatch.setattr(module, "_SPARSE", factor)
        found.append(neighbours.links(history))
    assert np.array_equal(found[0].rows, found[1].rows)
    assert np.array_equal(found[0].scores, found[1].scores)
    assert found[0].rows.dtype == found[1].rows.dtype == np.int64


def test_single_rows_and_the_best_of_them():
    links = module.Links(np.array([2, 5, 9]), np.array([1.0, 3.0, 3.0], np.float32))
    assert links.at(np.array([9, 0, 2, 30])).tolist() == [3.0, 0.0, 1.0, 0.0]
    assert links.best(2, np.empty(0, np.int64)).tolist() == [5, 9]
    assert links.best(2, np.array([0, 5])).tolist() == [9, 2]
    assert links.best(9, np.array([2, 5, 9])).tolist() == []


def test_no_links_at_all():
    neighbours = _served(sp.csr_matrix((4, 4), dtype=np.float32), 0.5)
    history = np.array([1, 3])
    assert not neighbours.scores(history).any()
    links = neighbours.links(history)
    assert links.at(np.array([0, 3])).tolist() == [0.0, 0.0]
    assert len(links.best(3, history)) == 0
    assert not neighbours.lead_anywhere(history)


@pytest.mark.parametrize(("offsets", "num_items", "num_values"), [([1, 2], 2, 2), ([0, 2], 3, 3), ([0, 2], 2, 1)])
def test_arrays_that_do_not_fit_together_are_refused(offsets, num_items, num_values):
    with pytest.raises(ValueError, match="do not fit together"):
        Neighbours(np.array(offsets), np.zeros(num_items, np.int32), np.zeros(num_values, np.float32), 0.5)
