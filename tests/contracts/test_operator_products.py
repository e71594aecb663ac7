"""The sparse products beneath the operators, against dense arithmetic and finite differences."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from gnas_search.operators.spmm import (
    Adjacency,
    CsrMatrix,
    CsrPattern,
    attention,
    entry_products,
    maximum,
    normalised,
    product,
)
from gnas_search.spectral import truncated_svd


def _matrix(rows: int = 7, columns: int = 5, seed: int = 0) -> sp.csr_matrix:
    return sp.random_array((rows, columns), density=0.4, rng=seed, dtype=np.float32, format="csr")


def _pattern(matrix: sp.csr_matrix) -> CsrPattern:
    return CsrPattern(matrix.indptr, matrix.indices, matrix.shape[1])


def _draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_product_and_its_gradient_are_those_of_the_dense_matrix() -> None:
    matrix = _matrix()
    x, dense_x = _draw(5, 3, seed=1), _draw(5, 3, seed=1)
    ours = product(CsrMatrix(_pattern(matrix), matrix.data), x)
    dense = torch.from_numpy(matrix.toarray()) @ dense_x
    torch.testing.assert_close(ours, dense)
    ours.square().sum().backward()
    dense.square().sum().backward()
    torch.testing.assert_close(x.grad, dense_x.grad)


def test_entry_products_count_repeated_entries() -> None:
    pattern = CsrPattern(np.array([0, 3, 4]), np.array([1, 1, 0, 2]), 3)
    left, right = _draw(2, 4, seed=1), _draw(3, 4, seed=2)
    left_dense, right_dense = _draw(2, 4, seed=1), _draw(3, 4, seed=2)
    ours = entry_products(pattern, left, right)
    expected = (left_dense[[0, 0, 0, 1]] * right_dense[[1, 1, 0, 2]]).sum(1)
    torch.testing.assert_close(ours, expected)
    ours.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(left.grad, left_dense.grad)
    torch.testing.assert_close(right.grad, right_dense.grad)


def test_maximum_of_negative_values_and_of_nothing() -> None:
    pattern = CsrPattern(np.array([0, 2, 2]), np.array([0, 1]), 2)
    x = torch.tensor([[-3.0, -1.0], [-2.0, -5.0]], requires_grad=True)
    out = maximum(pattern, x)
    assert out.tolist() == [[-2.0, -1.0], [0.0, 0.0]]
    (out * torch.tensor([[1.0, 10.0], [100.0, 100.0]])).sum().backward()
    assert x.grad.tolist() == [[0.0, 10.0], [1.0, 0.0]]


def test_attention_survives_logits_that_overflow() -> None:
    pattern = CsrPattern(np.array([0, 2]), np.array([0, 1]), 2)
    x, target = torch.tensor([[1.0], [2.0]]), torch.zeros(1)
    assert attention(pattern, x, torch.tensor([500.0, 0.0]), target, 0.2).item() == 1.0
    assert attention(pattern, x, torch.tensor([-500.0, -900.0]), target, 0.2).item() == 1.0


def test_normalisations_of_the_adjacency() -> None:
    matrix = _matrix()
    matrix.data[:] = 1
    adjacency = Adjacency(matrix)
    degrees = np.diff(adjacency.pattern.indptr)
    means = np.add.reduceat(np.append(adjacency.mean.values, 0), adjacency.pattern.indptr[:-1])[degrees > 0]
    np.testing.assert_allclose(means, 1.0, rtol=1e-6)
    turned = adjacency.symmetric.transposed
    np.testing.assert_array_equal(turned.pattern.indices, adjacency.pattern.indices)
    np.testing.assert_allclose(turned.values, adjacency.symmetric.values)
    dense = matrix.toarray()
    by_user, by_item = (np.maximum(dense.sum(axis), 1) for axis in (1, 0))
    expected = dense / np.sqrt(by_user[:, None] * by_item)
    np.testing.assert_allclose(normalised(matrix).multiply(torch.eye(5)).numpy(), expected, rtol=1e-6)


def test_truncated_svd_finds_the_leading_triplets() -> None:
    matrix = sp.random_array((80, 60), density=0.2, rng=3, dtype=np.float32, format="csr")
    left, values, right = truncated_svd(CsrMatrix(_pattern(matrix), matrix.data), 6, seed=0)
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)
    np.testing.assert_allclose(values.numpy(), exact[:6], rtol=0.02)
    np.testing.assert_allclose((left.T @ left).numpy(), np.eye(6), atol=1e-4)
    np.testing.assert_allclose((right.T @ right).numpy(), np.eye(6), atol=1e-4)


def test_truncated_svd_of_a_matrix_smaller_than_the_rank() -> None:
    matrix = _matrix(4, 3)
    left, values, right = truncated_svd(CsrMatrix(_pattern(matrix), matrix.data), 64, seed=0)
    assert (left.shape, values.shape, right.shape) == ((4, 3), (3,), (3, 3))
    np.testing.assert_allclose(((left * values) @ right.T).numpy(), matrix.toarray(), atol=1e-5)
