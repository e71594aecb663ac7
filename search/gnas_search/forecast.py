"""What a training will cost, before it starts: seconds per epoch and memory, from counts and a short calibration."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import normalize

from gnas_search.architecture import ArchitectureSpec
from gnas_search.construction import edge_counts
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import network_bytes
from gnas_search.memory import resident_bytes, reuse_freed_memory
from gnas_search.model import is_polynomial
from gnas_search.node_input import feature_bytes
from gnas_search.objective import LOSSES, batches, users_per_batch, view_contrast
from gnas_search.operators import numba_products
from gnas_search.operators.pattern import CsrPattern

_SAMPLED_ENTRIES = 1 << 19  # timed per kernel and direction
_TIMED_USERS = 256  # whose losses are timed
_TIMED_ITEMS = 1 << 14  # over which they are
_TIMED_ROWS = 1 << 16  # of dense arithmetic
_REPEATS = 5  # the median counts

_SPARSE_PASSES = {
    "gat": {"multiply": 2, "entry_products": 2},
    "gatv2": {"multiply": 4, "entry_products": 3},
    "gcn": {"multiply": 2},
    "gin": {"multiply": 2},
    "lightgcn": {"multiply": 2},
    "low_pass": {"multiply": 4},
    "ngcf": {"multiply": 2},
    "sage_max": {"maximum": 2},
    "sage_mean": {"multiply": 2},
    "sage_sum": {"multiply": 2},
    "skip": {},
}
"""Passes over the edges, forward and backward, by operator; attention's own loops count as an ``entry_products``."""

_WEIGHTS = {
    "gat": 1,
    "gatv2": 2,
    "gcn": 1,
    "gin": 2,
    "lightgcn": 0,
    "low_pass": 0,
    "ngcf": 2,
    "sage_max": 3,
    "sage_mean": 2,
    "sage_sum": 2,
    "skip": 0,
}
"""Matrices that the nodes' vectors are multiplied with."""


_SCORER_WEIGHTS = {"bilinear": 0.5, "cosine": 0.0, "dot": 0.0, "mlp": 2.0}
"""The same of the scorers, of vectors as wide as the embeddings."""

_GROWING = ("alignment_uniformity", "in_batch")
"""Losses whose seconds per user depend on how many users a batch has."""


@dataclass(frozen=True)
class Forecast:
    """The expected cost of a training.

    Attributes
    ----------
    epoch_s
        Seconds per epoch, validation excluded.
    peak_bytes
        Most memory of the whole process.
    """

    epoch_s: float
    peak_bytes: int


def forecast(spec: ArchitectureSpec, graph: InteractionGraph) -> Forecast:
    """Forecast a training on this machine's CPU, from counts and kernels timed for about a second.

    The kernels run over a sample of the graph's own entries and tables of their real size: a table that does not fit
    the cache makes a propagation several times slower per entry.

    Parameters
    ----------
    spec
        What would be trained.
    graph
        What it would be trained on.
    """
    spec = spec.canonical()
    reuse_freed_memory()
    needed = resident_bytes() + network_bytes(spec, graph)
    rng = np.random.default_rng(0)
    positives = graph.positives
    num_users = int(np.count_nonzero(np.diff(positives.indptr)))
    size = users_per_batch(num_users, spec.batch_size)
    views = 3 if spec.contrast_weight else 1
    step_s = views * _messages_s(spec, graph, rng) + _dense_s(spec, graph)
    fixed_s, user_s = _loss_s(spec, positives, size, rng)
    num_batches = -(-num_users // size)
    return Forecast(num_batches * (step_s + fixed_s) + num_users * user_s, needed)


def _timed(run: Callable[[], object]) -> float:
    seconds = []
    run()  # compiles, and touches fresh memory
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _messages_s(spec: ArchitectureSpec, graph: InteractionGraph, rng: np.random.Generator) -> float:
    """Time the sparse products of one step: every edge in both directions, forward and backward."""
    edges = graph.edges if spec.edges == "all" else graph.positives
    passes = [_SPARSE_PASSES[name] for name in spec.operators]
    if edges.nnz == 0 or not any(passes):
        return 0.0
    kernels = {kernel for one in passes for kernel in one}
    passed, links = edge_counts(spec, graph)
    total = 0.0
    for pattern, entries in zip(_sampled_directions(edges, rng), (passed, passed + links), strict=True):
        seconds = _kernel_seconds(kernels, pattern, spec)
        share = entries / len(pattern.indices)
        total += share * sum(count * seconds[kernel] for one in passes for kernel, count in one.items())
    return total


def _sampled_directions(edges: sp.csr_matrix, rng: np.random.Generator) -> tuple[CsrPattern, CsrPattern]:
    """Draw entries as rows of users over all items, and as rows of items over all users."""
    num_users, num_items = edges.shape
    drawn = np.sort(rng.integers(0, edges.nnz, min(_SAMPLED_ENTRIES, edges.nnz)))
    users = (np.searchsorted(edges.indptr, drawn, side="right") - 1).astype(np.int32)
    return (
        _rows_of(edges.indices[drawn], num_items, edges.nnz / num_users),
        _rows_of(rng.permutation(users), num_users, edges.nnz / num_items),
    )


def _rows_of(columns: npt.NDArray[np.int32], num_columns: int, length: float) -> CsrPattern:
    ends = np.arange(0, len(columns), max(1, round(length)))
    return CsrPattern(np.append(ends, len(columns)), columns, num_columns)


def _kernel_seconds(kernels: set[str], pattern: CsrPattern, spec: ArchitectureSpec) -> dict[str, float]:
    dim = spec.embedding_dim
    table, rows = torch.rand((pattern.num_columns, dim)), torch.rand((pattern.num_rows, dim))
    values = torch.rand(len(pattern.indices))
    if is_polynomial(spec):  # the rounding of the table is dense arithmetic, and timed there
        rounded = table.bfloat16()
        run: Callable[[], Tensor] = lambda: numba_products.accumulate(pattern, values, rounded, 1.0, rows, 1.0)  # noqa: E731
    else:
        run = lambda: numba_products.multiply(pattern, values, table)  # noqa: E731
    runs: dict[str, Callable[[], object]] = {
        "multiply": run,
        "entry_products": lambda: numba_products.entry_products(pattern, rows, table),
        "maximum": lambda: numba_products.maximum(pattern, table),
    }
    return {kernel: _timed(runs[kernel]) for kernel in sorted(kernels)}


def _dense_s(spec: ArchitectureSpec, graph: InteractionGraph) -> float:
    """Time the arithmetic on every node's vector in one step: weights, activations, the optimiser."""
    num_nodes, dim = graph.num_users + graph.num_items, spec.embedding_dim
    rows = min(num_nodes, _TIMED_ROWS)
    one, other = torch.rand((rows, dim)), torch.rand((rows, dim))
    added = _timed(lambda: torch.add(one, other)) * num_nodes / rows
    weights = float(sum(_WEIGHTS[name] for name in spec.operators))
    weights += spec.parts * (spec.combination == "attention")
    # A scorer's matrices are of the width that is scored, one side's of half the nodes.
    weights += _SCORER_WEIGHTS[spec.scorer] * (spec.width / dim) ** 2
    if spec.features:
        weights += feature_bytes(graph) / (one.element_size() * dim * num_nodes)
    multiplied = _timed(lambda: one @ torch.eye(dim)) * num_nodes / rows if weights else 0.0
    parameter = torch.nn.Parameter(one.clone())
    parameter.grad = other
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, fused=True)
    stepped = _timed(optimizer.step) * num_nodes / rows
    # A linear layer rounds its messages, forward and backward; others add and activate several arrays each.
    per_layer = 1 if is_polynomial(spec) else 5
    arrays = per_layer * len(spec.operators)
    for layer in spec.layer_specs:
        arrays += 4 * (layer.normalisation != "none") + 4 * (layer.dropout > 0) + layer.residual + len(layer.leaves) - 1
    if spec.combination in ("attention", "max"):
        arrays += 4 * spec.parts
    passed = 3 * weights * multiplied + (2 + 2 * arrays) * added
    return stepped + (3 if spec.contrast_weight else 1) * passed


def _loss_s(
    spec: ArchitectureSpec, positives: sp.csr_matrix, size: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Time the loss and its gradient: seconds per batch, whatever its size, and seconds per user."""
    num_items = positives.shape[1]
    table = torch.rand((min(num_items, _TIMED_ROWS), spec.width)).requires_grad_()
    item_s = _timed(lambda: normalize(table, dim=1).sum().backward()) * num_items / len(table)  # type: ignore[no-untyped-call]
    # Per user: over as much of the catalogue as is quickly done. A full softmax grows with the rest of it.
    counted = size if spec.loss in _GROWING else _TIMED_USERS
    some = positives[rng.integers(0, positives.shape[0], 4 * counted)]
    timed = min(len(table), max(_TIMED_ITEMS, 2 * spec.num_negatives if spec.loss == "sampled_softmax" else 0))
    folded = sp.csr_matrix((some.data, some.indices % timed, some.indptr), shape=(some.shape[0], timed))
    batch = next(batches(folded, counted, rng), None)
    if batch is None:
        return item_s, 0.0
    users = normalize(torch.rand((len(batch.users), table.shape[1])), dim=1).requires_grad_()
    items = normalize(table.detach()[:timed], dim=1).requires_grad_()

    def step() -> None:
        users.grad = items.grad = None
        LOSSES[spec.loss](users, items, batch, spec, rng).backward()  # type: ignore[no-untyped-call]

    def contrast() -> None:
        view_contrast((rows, items), (rows.detach(), items.detach()), batch, rng).backward()  # type: ignore[no-untyped-call]

    growth = num_items / timed if spec.loss == "softmax" else 1.0
    user_s = _timed(step) * growth / len(batch.users) * (2 if spec.adversarial_weight else 1)
    if not spec.contrast_weight:
        return item_s, user_s
    rows = torch.rand((min(size, positives.shape[0]), table.shape[1])).requires_grad_()
    return item_s + 2 * _timed(contrast), user_s
