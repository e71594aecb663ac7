"""The sparse products on a CPU: tensors in, tensors out, the loops being :mod:`gnas_search.operators.kernels`.

Deterministic for an equal number of threads, and all but the softmax within rows for any number.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from gnas_search.operators import kernels
from gnas_search.operators.kernels import Floats
from gnas_search.operators.pattern import CsrPattern


def _array(dense: Tensor) -> Floats:
    return cast(Floats, dense.detach().contiguous().numpy())


def multiply(pattern: CsrPattern, values: Tensor, dense: Tensor) -> Tensor:
    """Compute ``matrix @ dense``: (nnz,), (m, d) -> (n, d)."""
    out = torch.empty((pattern.num_rows, dense.shape[1]))
    structure = (pattern.spans, pattern.indptr, pattern.indices)
    work = len(pattern.indices) * dense.shape[1]
    kernels.multiply(work, *structure, _array(values), _array(dense), out.numpy())
    return out


def accumulate(pattern: CsrPattern, values: Tensor, dense: Tensor, own: float, base: Tensor, scale: float) -> Tensor:
    """Compute ``scale * (own * base + matrix @ dense)``, reading ``dense`` as bfloat16: (m, d), (n, d) -> (n, d)."""
    out = torch.empty(base.shape)
    halves = dense.detach().contiguous().bfloat16().view(torch.uint16).numpy()
    structure = (pattern.spans, pattern.indptr, pattern.indices)
    factors = (np.float32(own), _array(base), np.float32(scale))
    work = len(pattern.indices) * dense.shape[1]
    kernels.accumulate(work, *structure, _array(values), halves, *factors, out.numpy())
    return out


def entry_products(pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
    """Compute ``left[row] . right[column]`` of each entry: (n, d), (m, d) -> (nnz,)."""
    out = torch.empty(len(pattern.indices))
    work = len(pattern.indices) * left.shape[1]
    kernels.entry_products(work, pattern.indptr, pattern.indices, _array(left), _array(right), out.numpy())
    return out


def maximum(pattern: CsrPattern, dense: Tensor) -> tuple[Tensor, Tensor]:
    """Take the maximum over the entries of each row, 0 for empty rows, and the column that gave it, -1 for none.

    Of equal values the first entry wins: (m, d) -> (n, d), (n, d).
    """
    shape = (pattern.num_rows, dense.shape[1])
    out, winner = torch.empty(shape), torch.empty(shape, dtype=torch.int32)
    work = len(pattern.indices) * shape[1]
    kernels.maximum(work, pattern.indptr, pattern.indices, _array(dense), out.numpy(), winner.numpy())
    return out, winner


def maximum_gradient(pattern: CsrPattern, winner: Tensor, gradient: Tensor) -> Tensor:
    """Give each column the gradients of the maxima that it won: (n, d), (n, d) -> (m, d)."""
    turned = pattern.transposed
    out = torch.empty((turned.num_rows, gradient.shape[1]))
    work = len(turned.indices) * out.shape[1]
    kernels.maximum_gradient(work, turned.indptr, turned.indices, winner.numpy(), _array(gradient), out.numpy())
    return out


def attention_weights(
    pattern: CsrPattern, source: Tensor, target: Tensor, slope: float, prior: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute the softmax, within each row, of ``leaky_relu(source[column] + target[row]) + prior``, and its slopes.

    (m,), (n,), (nnz,) -> (nnz,), (nnz,), the second being the leaky ReLU's derivative at each entry.
    """
    logits, steep = torch.empty((2, len(pattern.indices))).unbind()
    structure = (pattern.indptr, pattern.indices)
    inputs = (_array(source), _array(target), slope)
    kernels.attention_logits(len(logits), *structure, *inputs, logits.numpy(), steep.numpy())
    return row_softmax(pattern, logits if prior is None else logits.add_(prior)), steep


def row_sums(pattern: CsrPattern, values: Tensor) -> Tensor:
    """Sum the values of each row's entries: (nnz,) -> (n,)."""
    out = torch.empty(pattern.num_rows)
    kernels.row_sums(len(values), pattern.indptr, _array(values), out.numpy())
    return out


def row_softmax(pattern: CsrPattern, logits: Tensor) -> Tensor:
    """Compute the softmax within each row: (nnz,) -> (nnz,)."""
    out = torch.empty(len(logits))
    kernels.row_softmax(len(out), pattern.indptr, _array(logits), out.numpy())
    return out


def dynamic_logits(pattern: CsrPattern, source: Tensor, target: Tensor, query: Tensor, slope: float) -> Tensor:
    """Compute ``query . leaky_relu(source[column] + target[row])`` of each entry: (m, d), (n, d), (d,) -> (nnz,)."""
    out = torch.empty(len(pattern.indices))
    inputs = (_array(source), _array(target), _array(query), slope)
    kernels.dynamic_logits(len(out) * len(query), pattern.indptr, pattern.indices, *inputs, out.numpy())
    return out


def dynamic_gradients(
    pattern: CsrPattern, by_logit: Tensor, other: Tensor, own: Tensor, query: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of :func:`dynamic_logits` by the rows' vectors and by the query.

    (nnz,), (m, d), (n, d), (d,) -> (n, d), (d,).
    """
    by_own, by_query = torch.empty_like(own), torch.empty_like(own)
    inputs = (_array(by_logit), _array(other), _array(own), _array(query), slope)
    work = 2 * len(pattern.indices) * len(query)
    kernels.dynamic_gradients(work, pattern.indptr, pattern.indices, *inputs, by_own.numpy(), by_query.numpy())
    return by_own, by_query.sum(dim=0)
