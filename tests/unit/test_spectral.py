"""The truncated SVD against a dense one, on matrices that are easy, deficient, tiny or empty."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.operators.adjacency import normalised
from gnas_search.operators.spmm import CsrMatrix, CsrPattern
from gnas_search.spectral import truncated_svd


def _sparse(matrix: sp.csr_matrix) -> CsrMatrix:
    return CsrMatrix(CsrPattern(matrix.indptr, matrix.indices, matrix.shape[1]), matrix.data)


def _random(rows: int, columns: int, density: float = 0.2, seed: int = 3) -> sp.csr_matrix:
    return sp.random_array((rows, columns), density=density, rng=seed, dtype=np.float32, format="csr")


def _assert_orthonormal(*sides: torch.Tensor, atol: float = 1e-5) -> None:
    for side in sides:
        torch.testing.assert_close(side.T @ side, torch.eye(side.shape[1]), rtol=0, atol=atol)


@pytest.mark.parametrize(("rows", "columns"), [(80, 60), (60, 80)])
def test_finds_the_leading_triplets(rows: int, columns: int) -> None:
    matrix = _random(rows, columns)
    left, values, right = truncated_svd(_sparse(matrix), 6, seed=0)
    assert (left.shape, values.shape, right.shape) == ((rows, 6), (6,), (columns, 6))
    exact_left, exact, exact_right = np.linalg.svd(matrix.toarray())
    np.testing.assert_allclose(values.numpy(), exact[:6], rtol=0.02)
    _assert_orthonormal(left, right)
    # The best separated triplet, up to its sign; sides are turned together.
    first = left[:, 0].numpy() @ exact_left[:, 0], right[:, 0].numpy() @ exact_right[0]
    np.testing.assert_allclose(np.abs(first), 1.0, atol=1e-3)
    assert first[0] * first[1] > 0


def test_is_exact_to_float32_where_the_spectrum_decays() -> None:
    """Communities of several sizes: what interaction matrices look like, and where power iteration separates well."""
    rng = np.random.default_rng(0)
    blocks = [np.ones((20 * size, 12 * size)) for size in range(1, 9)]
    dense = sp.block_diag(blocks, format="csr").toarray() + (rng.random((720, 432)) < 0.01)
    graph = sp.csr_matrix((dense > 0).astype(np.float32))
    weighted = normalised(graph)
    exact = np.linalg.svd(weighted.multiply(torch.eye(432)).numpy(), compute_uv=False)
    left, values, right = truncated_svd(weighted, 8, seed=0)
    np.testing.assert_allclose(values.numpy(), exact[:8], rtol=1e-4)
    _assert_orthonormal(left, right)
    residual = weighted.multiply(right) - left * values
    assert residual.norm(dim=0).max() < 2e-2


def test_a_matrix_smaller_than_the_rank() -> None:
    matrix = _random(4, 3, density=0.4, seed=0)
    left, values, right = truncated_svd(_sparse(matrix), 64, seed=0)
    assert (left.shape, values.shape, right.shape) == ((4, 3), (3,), (3, 3))
    np.testing.assert_allclose(((left * values) @ right.T).numpy(), matrix.toarray(), atol=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_a_matrix_of_lower_rank_than_asked(turned: bool) -> None:
    """Here the Gram matrix is singular: Cholesky fails, or worse, nearly does."""
    thin = np.abs(_random(70, 5, density=0.5).toarray())
    dense = (thin @ np.abs(_random(5, 50, density=0.5, seed=4).toarray())).astype(np.float32)
    matrix = sp.csr_matrix(dense.T if turned else dense)
    left, values, right = truncated_svd(_sparse(matrix), 20, seed=0)
    exact = np.linalg.svd(dense, compute_uv=False)
    np.testing.assert_allclose(values.numpy(), exact[:20], atol=1e-4 * exact[0])
    _assert_orthonormal(left, right, atol=1e-4)
    np.testing.assert_allclose(((left * values) @ right.T).numpy(), matrix.toarray(), atol=1e-4 * exact[0])


def test_an_empty_matrix_has_no_values() -> None:
    left, values, right = truncated_svd(_sparse(sp.csr_matrix((9, 7), dtype=np.float32)), 3, seed=0)
    assert torch.isfinite(left).all()
    assert torch.isfinite(right).all()
    assert not values.any()


def test_equal_seeds_give_equal_bits() -> None:
    matrix = _sparse(_random(80, 60))
    first, again, other = (truncated_svd(matrix, 6, seed=seed) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[0], other[0])
