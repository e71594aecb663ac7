"""Sparse matrices over users and items, and their differentiable products with dense vectors.

On a CPU they are made by numba's loops, on a CUDA device by torch's own operations; who calls sees no difference.
"""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from gnas_search.operators import numba_products, torch_products
from gnas_search.operators.pattern import CsrPattern

__all__ = [
    "Adjacency",
    "CsrMatrix",
    "CsrPattern",
    "entry_products",
    "maximum",
    "normalised",
    "polynomial",
    "product",
    "products_for",
    "turned",
]

Floats = npt.NDArray[np.float32]


def products_for(dense: Tensor) -> ModuleType:
    """Choose by device who computes; the two modules have the same functions."""
    return numba_products if dense.is_cpu else torch_products


class CsrMatrix:
    """A constant sparse matrix.

    Parameters
    ----------
    pattern
        Its entries.
    values : (nnz,) float32
    symmetric
        Whether it is its own transpose, which then is not made.
    turned : (nnz,) float32, optional
        Values of its transpose, where the transposed pattern is the pattern itself.
    """

    def __init__(
        self, pattern: CsrPattern, values: Floats, *, symmetric: bool = False, turned: Floats | None = None
    ) -> None:
        self.pattern = pattern
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        self._symmetric = symmetric
        self._turned = turned
        self._tensors: dict[torch.device, Tensor] = {}

    @property
    def num_rows(self) -> int:
        """N."""
        return self.pattern.num_rows

    @property
    def num_columns(self) -> int:
        """M."""
        return self.pattern.num_columns

    @cached_property
    def transposed(self) -> CsrMatrix:
        """The transposed matrix."""
        if self._symmetric:
            return self
        if self._turned is not None:
            return CsrMatrix(self.pattern, self._turned, turned=self.values)
        return CsrMatrix(self.pattern.transposed, self.values[self.pattern.order])

    def values_on(self, device: torch.device) -> Tensor:
        """Give the values as a tensor on a device, moved there once."""
        if device not in self._tensors:
            self._tensors[device] = torch.from_numpy(self.values).to(device)
        return self._tensors[device]

    def multiply(self, dense: Tensor) -> Tensor:
        """Compute ``self @ dense`` without recording a gradient: (m, d) -> (n, d)."""
        with torch.no_grad():
            return cast(Tensor, products_for(dense).multiply(self.pattern, self.values_on(dense.device), dense))

    def accumulate(self, dense: Tensor, own: float, base: Tensor, scale: float, *, rounded: bool) -> Tensor:
        """Compute ``scale * (own * base + self @ dense)`` without a gradient: (m, d), (n, d) -> (n, d).

        ``rounded`` lets a CPU read ``dense`` as bfloat16.
        """
        if not rounded or products_for(dense) is not numba_products:
            return self.multiply(dense).add_(base, alpha=own).mul_(scale)
        with torch.no_grad():
            return numba_products.accumulate(self.pattern, self.values_on(dense.device), dense, own, base, scale)


def normalised(interactions: sp.csr_matrix) -> CsrMatrix:
    """Divide the weight of each interaction by ``sqrt(user degree * item degree)``, sums of such weights: (U, I)."""
    pattern = CsrPattern(interactions.indptr, interactions.indices, interactions.shape[1])
    weights = _unequal(interactions.data)
    by_user = _degrees(pattern, weights)
    by_item = np.bincount(interactions.indices, weights=weights, minlength=interactions.shape[1]).astype(np.float64)
    by_item[by_item == 0.0] = 1.0
    user_scale, item_scale = ((1.0 / np.sqrt(degrees)).astype(np.float32) for degrees in (by_user, by_item))
    values = np.repeat(user_scale, np.diff(pattern.indptr)) * item_scale[pattern.indices]
    return CsrMatrix(pattern, values if weights is None else values * weights)


def _unequal(weights: Floats) -> Floats | None:
    """Give weights, or None where all are 1."""
    return None if bool((weights == 1.0).all()) else weights


def _degrees(pattern: CsrPattern, weights: Floats | None) -> npt.NDArray[np.float64]:
    """Sum the weights of each row; 1 for rows without an entry: (n,)."""
    counts = np.diff(pattern.indptr)
    if weights is None:
        return np.maximum(counts, 1).astype(np.float64)
    degrees = np.ones(len(counts))
    filled = np.flatnonzero(counts)
    degrees[filled] = np.add.reduceat(weights, pattern.indptr[filled], dtype=np.float64)
    return degrees


class Adjacency:
    """The graph as one symmetric matrix over U user nodes followed by I item nodes.

    Parameters
    ----------
    interactions : (U, I) CSR
        The edges between users and items; their values, above 0, are the edges' weights.
    links : (I, I) CSR, optional
        Edges between items, symmetric.
    averaging
        Whether :attr:`propagation` is the mean rather than the symmetric normalisation.
    """

    def __init__(
        self, interactions: sp.csr_matrix, *, links: sp.csr_matrix | None = None, averaging: bool = False
    ) -> None:
        self.num_users, self.num_items = (int(size) for size in interactions.shape)
        backwards = interactions.T.tocsr()
        if links is not None:
            backwards = sp.hstack([backwards, links], format="csr")
        indptr = np.concatenate([interactions.indptr, interactions.nnz + backwards.indptr[1:].astype(np.int64)])
        indices = np.concatenate([interactions.indices + self.num_users, backwards.indices])
        self.pattern = CsrPattern(indptr, indices, self.num_nodes)
        self.weights = _unequal(np.concatenate([interactions.data, backwards.data]))
        """Of each entry; None where all are 1."""
        self._averaging = averaging
        self._log_weights: dict[torch.device, Tensor] = {}

    @property
    def num_nodes(self) -> int:
        """U + I."""
        return self.num_users + self.num_items

    @cached_property
    def _degrees(self) -> npt.NDArray[np.float64]:
        return _degrees(self.pattern, self.weights)

    def _weighed(self, values: Floats) -> Floats:
        return values if self.weights is None else values * self.weights

    @property
    def propagation(self) -> CsrMatrix:
        """What operators that weigh messages by degrees multiply with: :attr:`symmetric`, or the mean."""
        return self.mean if self._averaging else self.symmetric

    @cached_property
    def symmetric(self) -> CsrMatrix:
        """The weight of each edge over ``sqrt(degree * degree)``, degrees being sums of weights."""
        scale = (self._degrees**-0.5).astype(np.float32)
        values = np.repeat(scale, np.diff(self.pattern.indptr)) * scale[self.pattern.indices]
        return CsrMatrix(self.pattern, self._weighed(values), symmetric=True)

    @cached_property
    def mean(self) -> CsrMatrix:
        """The weight of each edge over the degree of the node that receives: rows sum to 1."""
        share = (1.0 / self._degrees).astype(np.float32)
        values = self._weighed(np.repeat(share, np.diff(self.pattern.indptr)))
        return CsrMatrix(self.pattern, values, turned=self._weighed(share[self.pattern.indices]))

    @cached_property
    def sum(self) -> CsrMatrix:
        """The weight of each edge."""
        ones = np.ones(len(self.pattern.indices), dtype=np.float32)
        return CsrMatrix(self.pattern, self._weighed(ones), symmetric=True)

    def log_weights_on(self, device: torch.device) -> Tensor | None:
        """Give the logarithm of each entry's weight on a device, moved there once; None where all weigh 1."""
        if self.weights is None:
            return None
        if device not in self._log_weights:
            self._log_weights[device] = torch.from_numpy(np.log(self.weights)).to(device)
        return self._log_weights[device]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: CsrMatrix, dense: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix.multiply(dense)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix.transposed.multiply(gradients[0])


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: CsrMatrix, coefficients: tuple[float, ...], dense: Tensor, rounded: bool) -> Tensor:
        ctx.matrix, ctx.coefficients, ctx.rounded = matrix, coefficients, rounded
        return _horner(matrix, coefficients, dense, rounded=rounded)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, None]:
        turned: CsrMatrix = ctx.matrix.transposed  # of a symmetric matrix itself
        return None, None, _horner(turned, ctx.coefficients, gradients[0], rounded=ctx.rounded), None


def _horner(matrix: CsrMatrix, coefficients: tuple[float, ...], dense: Tensor, *, rounded: bool) -> Tensor:
    last = coefficients[-1]
    out = dense
    for position in reversed(range(len(coefficients) - 1)):
        scale = last if position == 0 else 1.0
        out = matrix.accumulate(out, coefficients[position] / last, dense, scale, rounded=rounded)
    return out


class _EntryProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(left, right)
        return cast(Tensor, products_for(left).entry_products(pattern, left, right))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        left, right = ctx.saved_tensors
        pattern: CsrPattern = ctx.pattern
        products, by_entry = products_for(left), gradients[0]
        by_left = products.multiply(pattern, by_entry, right)
        return None, by_left, products.multiply(pattern.transposed, turned(pattern, by_entry), left)


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: CsrPattern, dense: Tensor) -> Tensor:
        ctx.pattern = pattern
        out, ctx.winner = products_for(dense).maximum(pattern, dense)
        return cast(Tensor, out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        gradient = gradients[0]
        return None, products_for(gradient).maximum_gradient(ctx.pattern, ctx.winner, gradient)


def turned(pattern: CsrPattern, values: Tensor) -> Tensor:
    """Put values in the order of the transposed pattern's entries: (nnz,) -> (nnz,)."""
    return values.index_select(0, torch.from_numpy(pattern.order).to(values.device))


def product(matrix: CsrMatrix, dense: Tensor) -> Tensor:
    """Compute ``matrix @ dense``, differentiable in ``dense``: (m, d) -> (n, d)."""
    return cast(Tensor, _Product.apply(matrix, dense))  # type: ignore[no-untyped-call]


def polynomial(matrix: CsrMatrix, coefficients: tuple[float, ...], dense: Tensor, *, rounded: bool) -> Tensor:
    """Compute ``sum_k coefficients[k] * matrix^k @ dense``, differentiable in ``dense``: (n, d) -> (n, d).

    Parameters
    ----------
    matrix
        (n, n).
    coefficients
        At least two, the last not 0.
    dense : (n, d)
    rounded
        Let a CPU round what is read per entry to bfloat16 (relative error up to 2^-9 each; sums are float32), in half
        the time: for training, not for the vectors that are kept. Without effect on a CUDA device.
    """
    return cast(Tensor, _Polynomial.apply(matrix, coefficients, dense, rounded))  # type: ignore[no-untyped-call]


def entry_products(pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
    """Compute ``left[row] . right[column]`` of each entry: (n, d), (m, d) -> (nnz,)."""
    return cast(Tensor, _EntryProducts.apply(pattern, left, right))  # type: ignore[no-untyped-call]


def maximum(pattern: CsrPattern, dense: Tensor) -> Tensor:
    """Take the maximum over the entries of each row, per column; 0 for empty rows: (m, d) -> (n, d)."""
    return cast(Tensor, _Maximum.apply(pattern, dense))  # type: ignore[no-untyped-call]
