"""The sparse products beneath the operators, against dense arithmetic and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.operators.adjacency import Adjacency, normalised
from gnas_search.operators.attention import attention
from gnas_search.operators.spmm import CsrMatrix, CsrPattern, entry_products, maximum, polynomial, product


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


@pytest.mark.parametrize(
    "coefficients", [(0.0, 1.0), (0.0, 0.5, 0.5), (0.25, 0.25, 0.25, 0.25), (0.0, 2 / 3, 0.0, 1 / 3)]
)
@pytest.mark.parametrize("rounded", [False, True])
def test_a_polynomial_and_its_gradient_are_those_of_the_dense_matrix(
    rounded: bool, coefficients: tuple[float, ...]
) -> None:
    matrix = _matrix(40, 30)
    matrix.data[:] = 1
    adjacency = Adjacency(matrix)
    dense = adjacency.symmetric.multiply(torch.eye(70))
    x, dense_x = _draw(70, 12, seed=1), _draw(70, 12, seed=1)
    ours = polynomial(adjacency.symmetric, coefficients, x, rounded=rounded)
    expected = sum(c * torch.linalg.matrix_power(dense, k) @ dense_x for k, c in enumerate(coefficients))
    # Messages are rounded to 8 bits of mantissa; a sum over neighbours averages the errors.
    tolerance = 2**-8 if rounded else 1e-5
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)
    assert ((ours - expected).abs().max() > 1e-5) == rounded
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, dense_x.grad, rtol=0, atol=tolerance)


def test_a_product_over_rows_with_any_number_of_entries() -> None:
    """Entries are taken four at a time and then singly: 0 to 9 of them in a row."""
    lengths = np.arange(10)
    indices = np.concatenate([np.arange(length) for length in lengths])
    pattern = CsrPattern(np.concatenate([[0], np.cumsum(lengths)]), indices, 9)
    values = np.random.default_rng(0).standard_normal(len(indices), dtype=np.float32)
    dense = torch.from_numpy(sp.csr_matrix((values, indices, pattern.indptr), shape=(10, 9)).toarray())
    x, base, matrix = _draw(9, 5, seed=1).detach(), _draw(10, 5, seed=2).detach(), CsrMatrix(pattern, values)
    torch.testing.assert_close(matrix.multiply(x), dense @ x)
    halves = x.bfloat16().float()
    for read, rounded in ((halves, True), (x, False)):
        ours = matrix.accumulate(x, 0.3, base, 2.0, rounded=rounded)
        torch.testing.assert_close(ours, 2.0 * (0.3 * base + dense @ read))
    assert pattern.spans[0] == 0
    assert pattern.spans[-1] == 10
    assert (np.diff(pattern.spans) >= 0).all()
