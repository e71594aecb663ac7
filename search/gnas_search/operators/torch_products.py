"""The sparse products in torch's own operations: what runs on a CUDA device, and right on any.

Sums there are made in no fixed order, so equal seeds give nearly, not exactly, equal results.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from gnas_search.operators.pattern import CsrPattern

_ENTRIES = 1 << 18
"""Entries whose vectors are gathered at a time: 128 MB each side at 128 dimensions."""


def _spans(pattern: CsrPattern) -> Iterator[slice]:
    for start in range(0, len(pattern.indices), _ENTRIES):
        yield slice(start, start + _ENTRIES)


def multiply(pattern: CsrPattern, values: Tensor, dense: Tensor) -> Tensor:
    """Compute ``matrix @ dense``: (nnz,), (m, d) -> (n, d)."""
    structure = pattern.on(dense.device)
    shape = (pattern.num_rows, pattern.num_columns)
    with warnings.catch_warnings():  # torch calls its CSR tensors beta
        warnings.simplefilter("ignore", UserWarning)
        matrix = torch.sparse_csr_tensor(structure.indptr, structure.columns, values, shape, check_invariants=False)
    return matrix @ dense


def entry_products(pattern: CsrPattern, left: Tensor, right: Tensor) -> Tensor:
    """Compute ``left[row] . right[column]`` of each entry: (n, d), (m, d) -> (nnz,)."""
    structure = pattern.on(left.device)
    out = left.new_empty(len(pattern.indices))
    for span in _spans(pattern):
        gathered = left.index_select(0, structure.rows[span]).mul_(right.index_select(0, structure.columns[span]))
        torch.sum(gathered, dim=1, out=out[span])
    return out


def maximum(pattern: CsrPattern, dense: Tensor) -> tuple[Tensor, Tensor]:
    """Take the maximum over the entries of each row, 0 for empty rows, and the column that gave it, -1 for none.

    Of equal values the first entry wins: (m, d) -> (n, d), (n, d).
    """
    structure = pattern.on(dense.device)
    shape, none = (pattern.num_rows, dense.shape[1]), len(pattern.indices)
    out = dense.new_full(shape, -torch.inf)
    for span in _spans(pattern):
        gathered = dense.index_select(0, structure.columns[span])
        out.scatter_reduce_(0, structure.rows[span, None].expand_as(gathered), gathered, "amax")
    first = torch.full(shape, none, device=dense.device)  # position of the winning entry
    for span in _spans(pattern):
        gathered, rows = dense.index_select(0, structure.columns[span]), structure.rows[span]
        positions = torch.arange(span.start, span.start + len(rows), device=dense.device)
        won = torch.where(gathered == out.index_select(0, rows), positions[:, None], none)
        first.scatter_reduce_(0, rows[:, None].expand_as(won), won, "amin")
    columns = torch.cat([structure.columns, structure.columns.new_full((1,), -1)])
    return out.masked_fill_(first == none, 0.0), columns[first]


def maximum_gradient(pattern: CsrPattern, winner: Tensor, gradient: Tensor) -> Tensor:
    """Give each column the gradients of the maxima that it won: (n, d), (n, d) -> (m, d)."""
    out = gradient.new_zeros((pattern.num_columns, gradient.shape[1]))
    return out.scatter_add_(0, winner.clamp_min(0).long(), gradient.masked_fill(winner < 0, 0.0))


def attention_weights(
    pattern: CsrPattern, source: Tensor, target: Tensor, slope: float, prior: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute the softmax, within each row, of ``leaky_relu(source[column] + target[row]) + prior``, and its slopes.

    (m,), (n,), (nnz,) -> (nnz,), (nnz,), the second being the leaky ReLU's derivative at each entry.
    """
    structure = pattern.on(source.device)
    sums = source.index_select(0, structure.columns) + target.index_select(0, structure.rows)
    logits = leaky_relu(sums, slope)
    return row_softmax(pattern, logits if prior is None else logits.add_(prior)), torch.where(sums > 0, 1.0, slope)


def row_sums(pattern: CsrPattern, values: Tensor) -> Tensor:
    """Sum the values of each row's entries: (nnz,) -> (n,)."""
    return values.new_zeros(pattern.num_rows).index_add_(0, pattern.on(values.device).rows, values)


def row_softmax(pattern: CsrPattern, logits: Tensor) -> Tensor:
    """Compute the softmax within each row: (nnz,) -> (nnz,)."""
    rows = pattern.on(logits.device).rows
    highest = logits.new_full((pattern.num_rows,), -torch.inf).scatter_reduce_(0, rows, logits, "amax")
    powers = (logits - highest.index_select(0, rows)).exp_()
    return powers / row_sums(pattern, powers).index_select(0, rows)


def dynamic_logits(pattern: CsrPattern, source: Tensor, target: Tensor, query: Tensor, slope: float) -> Tensor:
    """Compute ``query . leaky_relu(source[column] + target[row])`` of each entry: (m, d), (n, d), (d,) -> (nnz,)."""
    structure = pattern.on(source.device)
    out = source.new_empty(len(pattern.indices))
    for span in _spans(pattern):
        sums = source.index_select(0, structure.columns[span]) + target.index_select(0, structure.rows[span])
        out[span] = leaky_relu(sums, slope) @ query
    return out


def dynamic_gradients(
    pattern: CsrPattern, by_logit: Tensor, other: Tensor, own: Tensor, query: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of :func:`dynamic_logits` by the rows' vectors and by the query.

    (nnz,), (m, d), (n, d), (d,) -> (n, d), (d,).
    """
    structure = pattern.on(own.device)
    by_own, by_query = torch.zeros_like(own), torch.zeros_like(query)
    for span in _spans(pattern):
        rows = structure.rows[span]
        sums = other.index_select(0, structure.columns[span]) + own.index_select(0, rows)
        steep = torch.where(sums > 0, by_logit[span, None], slope * by_logit[span, None])
        by_own.index_add_(0, rows, steep * query)
        by_query += (steep * sums).sum(dim=0)
    return by_own, by_query
