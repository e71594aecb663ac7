import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnas_export.fold_in import fit_fold_in
from gnas_export.tables import WIDTHS, compress, exact_lists, mean_recall
from gnas_search.checkpoint import Fit
from gnas_serve.errors import ExportError
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import SeenItems

FINITE = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def _fit(users, items):
    return Fit(np.asarray(users, np.float32), np.asarray(items, np.float32), 1)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=FINITE))
@settings(max_examples=100, deadline=None)
def test_int8_rows_are_right_to_half_a_step(vectors):
    restored = compress(_fit(vectors, vectors), "int8").items.dense()
    steps = np.abs(vectors).max(axis=1, keepdims=True) / 127
    assert (np.abs(restored - vectors) <= steps * 0.5 * (1 + 1e-4) + 1e-30).all()


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(1)), elements=st.floats(0, 1e6, width=32)))
@settings(max_examples=50, deadline=None)
def test_one_column_keeps_its_order_in_int8(vectors):
    # Popularity is such a model: its counts must not change places.
    restored = compress(_fit(vectors, vectors), "int8").items.dense()[:, 0]
    order = np.argsort(vectors[:, 0], kind="stable")
    assert (np.diff(restored[order]) >= -1e-6 * np.abs(restored[order][1:])).all()


def test_wider_is_closer():
    vectors = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    errors = [np.abs(compress(_fit(vectors, vectors), width).users.dense() - vectors).max() for width in WIDTHS]
    assert errors[0] > errors[1] > errors[2] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad):
    vectors = np.ones((4, 2), np.float32)
    broken = vectors.copy()
    broken[2, 1] = bad
    with pytest.raises(ExportError, match="item vector of row 2"):
        compress(_fit(vectors, broken), "int8")


def test_exact_lists_leave_out_what_was_seen():
    items = np.arange(6, dtype=np.float32)[:, None]
    seen = SeenItems(np.array([0, 2, 2]), np.array([4, 5], np.int32))
    lists = exact_lists(np.ones((2, 1), np.float32), items, seen, np.array([0, 1]), 3)
    assert [found.tolist() for found in lists] == [[3, 2, 1], [5, 4, 3]]


def test_mean_recall():
    lists = [np.array([1, 2]), np.array([3, 4])]
    assert mean_recall([np.array([2, 9]), np.array([4, 3])], lists) == 0.75
    assert mean_recall([np.array([], int)], [np.array([], int)]) == 1.0


def test_fold_in_recovers_users_that_are_linear_in_their_history():
    rng = np.random.default_rng(0)
    items = rng.standard_normal((40, 6)).astype(np.float32)
    seen = SeenItems(
        np.arange(201) * 5, np.concatenate([np.sort(rng.choice(40, 5, replace=False)) for _ in range(200)])
    )
    counts = np.bincount(seen.items, minlength=40).astype(np.int32)
    table = EmbeddingTable(items)
    truth = FoldIn(rng.standard_normal((7, 6)).astype(np.float32), table, counts, unit_length=False)
    users = np.stack([truth.vector(seen.of(row)) for row in range(200)])
    fitted = FoldIn(fit_fold_in(users, table, seen, counts, seed=0), table, counts, unit_length=False)
    found = np.stack([fitted.vector(seen.of(row)) for row in range(200)])
    assert np.abs(found - users).max() < 0.1 * np.abs(users).max()


def test_fold_in_without_anybody_to_learn_from_is_zero():
    table = EmbeddingTable(np.ones((3, 2), np.float32))
    nobody = SeenItems(np.zeros(3, np.int64), np.empty(0, np.int32))
    matrix = fit_fold_in(np.ones((2, 2), np.float32), table, nobody, np.zeros(3, np.int32), seed=0)
    assert matrix.shape == (3, 2)
    assert not matrix.any()
