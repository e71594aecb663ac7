"""The best projection of a rank keeps as much of the scores as a dense singular value decomposition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_export.retrieval.projection import best_projection, padding


def error(users, items, projection):
    return np.linalg.norm(users @ items.T - (users @ projection.queries) @ (items @ projection.items).T)


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_no_other_of_its_rank_is_nearer(seed, dims):
    rng = np.random.default_rng(seed)
    # Correlated columns of very different lengths, as blended branches have them.
    mixing = rng.standard_normal((12, 12)) * np.logspace(0, -2, 12)
    users = (rng.standard_normal((70, 12)) @ mixing).astype(np.float32)
    items = (rng.standard_normal((50, 12)) @ mixing[::-1]).astype(np.float32)
    values = np.linalg.svd((users @ items.T).astype(np.float64), compute_uv=False)
    least = np.sqrt((values[dims:] ** 2).sum())
    assert error(users, items, best_projection(users, items, dims)) <= least * 1.01 + 2e-5 * values[0]


def test_directions_that_no_user_takes_cost_nothing():
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((60, 16)).astype(np.float32), rng.standard_normal((60, 16)).astype(np.float32)
    users[:, 5:] = 0
    assert error(users, items, best_projection(users, items, 5)) < 1e-4
    users[:] = 0
    found = best_projection(users, items, 5)
    assert np.isfinite(found.queries).all()
    assert np.isfinite(found.items).all()


def test_items_lie_as_far_apart_as_users_score_them_apart():
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((500, 8)).astype(np.float32), rng.standard_normal((30, 8)).astype(np.float32)
    users *= np.arange(1, 9, dtype=np.float32)
    images = items @ best_projection(users, items, 7).items
    apart = np.linalg.norm((items[0] - items[1:]) @ users.T, axis=1) / np.sqrt(500)
    assert np.linalg.norm(images[0] - images[1:], axis=1) == pytest.approx(apart, rel=0.05)


def test_equal_vectors_give_equal_bytes():
    rng = np.random.default_rng(2)
    users, items = rng.standard_normal((9000, 20)).astype(np.float32), rng.standard_normal((300, 20)).astype(np.float32)
    first, second = best_projection(users, items, 7), best_projection(users.copy(), items.copy(), 7)
    assert first.queries.tobytes() == second.queries.tobytes()
    assert first.items.tobytes() == second.items.tobytes()


@pytest.mark.parametrize(("dim", "wide"), [(1, 16), (33, 48), (65, 80)])
def test_padding_keeps_every_score(dim, wide):
    vectors = np.random.default_rng(0).standard_normal((5, dim)).astype(np.float32)
    found = padding(dim)
    assert found.dims == wide
    assert np.array_equal((vectors @ found.queries)[:, :dim], vectors)
    # A product of other widths may differ in its last bits.
    assert error(vectors, vectors, found) < 1e-6 * np.linalg.norm(vectors @ vectors.T)


def test_what_is_wide_enough_is_not_padded():
    assert padding(16) is None
    assert padding(128) is None
