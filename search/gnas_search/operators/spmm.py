"""Sparse matrices over users and items, and their differentiable products with dense vectors.

On a CPU they are made by numba's loops, on a CUDA device by torch's own operations; who calls sees no difference.
"""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnas_search.operators import numba_products, torch_products
from gnas_search.operators.pattern import CsrPattern

__all__ = [
    "CsrMatrix",
    "CsrPattern",
    "entry_products",
    "maximum",
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
