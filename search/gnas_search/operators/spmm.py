"""Sparse matrices over users and items, and their differentiable products with dense vectors."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from gnas_search.operators import kernels

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def _array(dense: Tensor) -> Floats:
    return cast(Floats, dense.detach().contiguous().numpy())


class CsrPattern:
    """Which entries of an (n, m) matrix exist; an entry may occur more than once.

    Parameters
    ----------
    indptr : (n + 1,) int32
    indices : (nnz,) int32
    num_columns
        m.
    """

    def __init__(self, indptr: Ints, indices: Ints, num_columns: int) -> None:
        self.indptr = np.ascontiguousarray(indptr, dtype=np.int32)
        self.indices = np.ascontiguousarray(indices, dtype=np.int32)
        self.num_columns = num_columns

    @property
    def num_rows(self) -> int:
        """Number of rows n."""
        return len(self.indptr) - 1

    @cached_property
    def rows(self) -> Tensor:
        """The row of each entry, (nnz,) int64."""
        return torch.from_numpy(np.repeat(np.arange(self.num_rows), np.diff(self.indptr)))

    @cached_property
    def _transposition(self) -> tuple[CsrPattern, Ints]:
        positions = np.arange(len(self.indices), dtype=np.int32)
        shape = (self.num_rows, self.num_columns)
        turned = sp.csr_matrix((positions, self.indices, self.indptr), shape=shape).tocsc()
        return CsrPattern(turned.indptr, turned.indices, self.num_rows), turned.data

    @property
    def transposed(self) -> CsrPattern:
        """The (m, n) pattern."""
        return self._transposition[0]

    @property
    def order(self) -> Ints:
        """For each entry of the transposed pattern, its position in this one: (nnz,) int32."""
        return self._transposition[1]

    def multiply(self, values: Floats, dense: Tensor) -> Tensor:
        """Compute ``matrix @ dense`` without recording a gradient: (m, d) -> (n, d)."""
        out = torch.empty((self.num_rows, dense.shape[1]))
        work = len(self.indices) * dense.shape[1]
        kernels.multiply(work, self.indptr, self.indices, values, _array(dense), out.numpy())
        return out

    def entry_products(self, left: Tensor, right: Tensor) -> Tensor:
        """Compute ``left[row] . right[column]`` of each entry without recording a gradient: (nnz,)."""
        out = torch.empty(len(self.indices))
        work = len(self.indices) * left.shape[1]
        kernels.entry_products(work, self.indptr, self.indices, _array(left), _array(right), out.numpy())
        return out


class CsrMatrix:
    """A constant sparse matrix.

    Parameters
    ----------
    pattern
        Its entries.
    values : (nnz,) float32
    """

    def __init__(self, pattern: CsrPattern, values: Floats) -> None:
        self.pattern = pattern
        self.values = np.ascontiguousarray(values, dtype=np.float32)

    @cached_property
    def transposed(self) -> CsrMatrix:
        """The transposed matrix."""
        return CsrMatrix(self.pattern.transposed, self.values[self.pattern.order])

    def multiply(self, dense: Tensor) -> Tensor:
        """Compute ``self @ dense`` without recording a gradient."""
        return self.pattern.multiply(self.values, dense)


def normalised(interactions: sp.csr_matrix) -> CsrMatrix:
    """Weigh each interaction by ``1 / sqrt(user degree * item degree)``: (U, I)."""
    by_user = np.maximum(np.diff(interactions.indptr), 1).astype(np.float64)
    by_item = np.maximum(np.bincount(interactions.indices, minlength=interactions.shape[1]), 1).astype(np.float64)
    pattern = CsrPattern(interactions.indptr, interactions.indices, interactions.shape[1])
    values = 1.0 / np.sqrt(by_user[pattern.rows.numpy()] * by_item[pattern.indices])
    return CsrMatrix(pattern, values.astype(np.float32))


class Adjacency:
    """The bipartite graph as one symmetric matrix over U user nodes followed by I item nodes.

    Parameters
    ----------
    interactions : (U, I) CSR
        The edges; only the pattern counts.
    """

    def __init__(self, interactions: sp.csr_matrix) -> None:
        self.num_users, self.num_items = (int(size) for size in interactions.shape)
        backwards = interactions.T.tocsr()
        indptr = np.concatenate([interactions.indptr, interactions.nnz + backwards.indptr[1:].astype(np.int64)])
        indices = np.concatenate([interactions.indices + self.num_users, backwards.indices])
        self.pattern = CsrPattern(indptr, indices, self.num_nodes)

    @property
    def num_nodes(self) -> int:
        """U + I."""
        return self.num_users + self.num_items

    @cached_property
    def _degrees(self) -> npt.NDArray[np.float64]:
        return np.maximum(np.diff(self.pattern.indptr), 1).astype(np.float64)

    @cached_property
    def symmetric(self) -> CsrMatrix:
        """Each edge weighs ``1 / sqrt(degree * degree)``."""
        scale = self._degrees**-0.5
        values = scale[self.pattern.rows.numpy()] * scale[self.pattern.indices]
        return CsrMatrix(self.pattern, values.astype(np.float32))

    @cached_property
    def mean(self) -> CsrMatrix:
        """Each edge weighs ``1 / degree`` of the node that receives: rows sum to 1."""
        values = 1.0 / self._degrees[self.pattern.rows.numpy()]
        return CsrMatrix(self.pattern, values.astype(np.float32))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: CsrMatrix, dense: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix.multiply(dense)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix.transposed.multiply(gradients[0])


class _EntryProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(left, right)
        return pattern.entry_products(left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        left, right = ctx.saved_tensors
        weights = CsrMatrix(ctx.pattern, _array(gradients[0]))
        return None, weights.multiply(right), weights.transposed.multiply(left)


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: CsrPattern, dense: Tensor) -> Tensor:
        shape = (pattern.num_rows, dense.shape[1])
        out, ctx.winner, ctx.pattern = torch.empty(shape), np.empty(shape, np.int32), pattern
        work = len(pattern.indices) * shape[1]
        kernels.maximum(work, pattern.indptr, pattern.indices, _array(dense), out.numpy(), ctx.winner)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        turned = ctx.pattern.transposed
        out = torch.empty((turned.num_rows, gradients[0].shape[1]))
        work = len(turned.indices) * out.shape[1]
        kernels.maximum_gradient(work, turned.indptr, turned.indices, ctx.winner, _array(gradients[0]), out.numpy())
        return None, out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: CsrPattern, dense: Tensor, source: Tensor, target: Tensor, slope: float) -> Tensor:
        weights, steep = np.empty((2, len(pattern.indices)), np.float32)
        entries = len(pattern.indices)
        inputs = (_array(source), _array(target), slope)
        kernels.attention_weights(entries, pattern.indptr, pattern.indices, *inputs, weights, steep)
        out = pattern.multiply(weights, dense)
        ctx.pattern, ctx.weights, ctx.steep = pattern, weights, steep
        ctx.save_for_backward(dense, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        pattern: CsrPattern = ctx.pattern
        dense, out = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_dense = CsrMatrix(pattern, ctx.weights).transposed.multiply(gradient)
        # Softmax: the mean gradient of a row's weights, under those weights, is gradient . output.
        centre = (gradient * out).sum(dim=1)  # (n,)
        by_weight = pattern.entry_products(gradient, dense) - centre.index_select(0, pattern.rows)  # (nnz,)
        by_logit = by_weight.numpy() * ctx.weights * ctx.steep
        by_target, by_source = torch.empty(pattern.num_rows), torch.empty(pattern.num_columns)
        straight = np.arange(len(by_logit), dtype=np.int32)
        kernels.row_sums(len(by_logit), pattern.indptr, by_logit, straight, by_target.numpy())
        kernels.row_sums(len(by_logit), pattern.transposed.indptr, by_logit, pattern.order, by_source.numpy())
        return None, by_dense, by_source, by_target, None


def product(matrix: CsrMatrix, dense: Tensor) -> Tensor:
    """Compute ``matrix @ dense``, differentiable in ``dense``: (m, d) -> (n, d)."""
    return cast(Tensor, _Product.apply(matrix, dense))  # type: ignore[no-untyped-call]


def entry_products(pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
    """Compute ``left[row] . right[column]`` of each entry: (n, d), (m, d) -> (nnz,)."""
    return cast(Tensor, _EntryProducts.apply(pattern, left, right))  # type: ignore[no-untyped-call]


def maximum(pattern: CsrPattern, dense: Tensor) -> Tensor:
    """Take the maximum over the entries of each row, per column; 0 for empty rows: (m, d) -> (n, d)."""
    return cast(Tensor, _Maximum.apply(pattern, dense))  # type: ignore[no-untyped-call]


def attention(pattern: CsrPattern, dense: Tensor, source: Tensor, target: Tensor, slope: float) -> Tensor:
    """Average ``dense`` over the entries of each row, weighed by a softmax over them.

    Parameters
    ----------
    pattern
        (n, m).
    dense : (m, d)
    source : (m,)
        What each column contributes to a logit.
    target : (n,)
        What each row contributes to its logits.
    slope
        Of the leaky ReLU on the sum of both.

    Returns
    -------
    (n, d), 0 for empty rows
    """
    return cast(Tensor, _Attention.apply(pattern, dense, source, target, slope))  # type: ignore[no-untyped-call]
