"""What a training will cost, before it starts: seconds per epoch and memory, from counts and a short calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

from gnas_search.architecture import ArchitectureSpec
from gnas_search.construction import edge_counts
from gnas_search.data.dataset import InteractionGraph
from gnas_search.expected_cost import Forecast
from gnas_search.footprint import network_bytes
from gnas_search.memory import resident_bytes, reuse_freed_memory
from gnas_search.model import is_polynomial
from gnas_search.node_input import feature_bytes
from gnas_search.objective import LOSSES, Batch, batches, users_per_batch, view_contrast
from gnas_search.operators import numba_products
from gnas_search.operators.pattern import CsrPattern
from gnas_search.optimizer import Adam
from gnas_search.timings import Timings

_TIMED_USERS = 256  # whose losses are timed
_TIMED_ITEMS = 1 << 14  # over which they are
_TIMED_ROWS = 1 << 16  # of dense arithmetic
_FLOAT_BYTES = 4

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


def forecast(spec: ArchitectureSpec, graph: InteractionGraph, *, timings: Timings | None = None) -> Forecast:
    """Forecast a training on this machine's CPU, from counts and kernels timed for about a second.

    The kernels run over a sample of the graph's own entries and tables of their real size: a table that does not fit
    the cache makes a propagation several times slower per entry.

    Parameters
    ----------
    spec
        What would be trained.
    graph
        What it would be trained on.
    timings
        Of the same graph, to share what was timed for other architectures.
    """
    if timings is None:
        timings = Timings(graph)
    elif timings.graph is not graph:
        raise ValueError("the timings are of another graph")
    spec = spec.canonical()
    reuse_freed_memory()
    needed = resident_bytes() + network_bytes(spec, graph)
    rng = np.random.default_rng(0)
    positives = graph.positives
    num_users = int(np.count_nonzero(np.diff(positives.indptr)))
    size = users_per_batch(num_users, spec.batch_size)
    views = 3 if spec.contrast_weight else 1
    step_s = views * _messages_s(spec, timings) + _dense_s(spec, timings)
    fixed_s, user_s = _loss_s(spec, positives, size, rng, timings)
    num_batches = -(-num_users // size)
    return Forecast(num_batches * (step_s + fixed_s) + num_users * user_s, needed)


def _messages_s(spec: ArchitectureSpec, timings: Timings) -> float:
    """Time the sparse products of one step: every edge in both directions, forward and backward."""
    edges = timings.graph.pattern(spec.edges)
    passes = [_SPARSE_PASSES[name] for name in spec.operators]
    if edges.nnz == 0 or not any(passes):
        return 0.0
    kernels = {kernel for one in passes for kernel in one}
    passed, links = edge_counts(spec, timings.graph)
    total = 0.0
    for side, (pattern, entries) in enumerate(
        zip(timings.directions(spec.edges), (passed, passed + links), strict=True)
    ):
        seconds = {kernel: _kernel_s(kernel, side, pattern, spec, timings) for kernel in sorted(kernels)}
        share = entries / len(pattern.indices)
        total += share * sum(count * seconds[kernel] for one in passes for kernel, count in one.items())
    return total


def _kernel_s(kernel: str, side: int, pattern: CsrPattern, spec: ArchitectureSpec, timings: Timings) -> float:
    dim, rounded = spec.embedding_dim, is_polynomial(spec)

    def prepare() -> Callable[[], object]:
        table, rows = torch.rand((pattern.num_columns, dim)), torch.rand((pattern.num_rows, dim))
        values = torch.rand(len(pattern.indices))
        low = table.bfloat16()  # the rounding of the table is dense arithmetic, and timed there
        runs: dict[str, Callable[[], object]] = {
            "multiply": lambda: numba_products.multiply(pattern, values, table),
            "accumulate": lambda: numba_products.accumulate(pattern, values, low, 1.0, rows, 1.0),
            "entry_products": lambda: numba_products.entry_products(pattern, rows, table),
            "maximum": lambda: numba_products.maximum(pattern, table),
        }
        return runs["accumulate" if rounded and kernel == "multiply" else kernel]

    return timings.timed((kernel, side, spec.edges, dim, rounded), prepare)


def _dense_s(spec: ArchitectureSpec, timings: Timings) -> float:
    """Time the arithmetic on every node's vector in one step: weights, activations, the optimiser."""
    num_nodes, dim = timings.graph.num_users + timings.graph.num_items, spec.embedding_dim
    rows = min(num_nodes, _TIMED_ROWS)

    def adding() -> Callable[[], object]:
        one, other = torch.rand((rows, dim)), torch.rand((rows, dim))
        return lambda: torch.add(one, other)

    def multiplying() -> Callable[[], object]:
        one, weight = torch.rand((rows, dim)), torch.eye(dim)
        return lambda: one @ weight

    def stepping() -> Callable[[], object]:
        parameter = torch.nn.Parameter(torch.rand((rows, dim)))
        parameter.grad = torch.rand((rows, dim))
        return Adam([parameter], lr=1e-3, weight_decay=1e-2, fused=True, decoupled_weight_decay=True).step

    added = timings.timed(("add", dim), adding) * num_nodes / rows
    weights = float(sum(_WEIGHTS[name] for name in spec.operators))
    weights += spec.parts * (spec.combination == "attention")
    # A scorer's matrices are of the width that is scored, one side's of half the nodes.
    weights += _SCORER_WEIGHTS[spec.scorer] * (spec.width / dim) ** 2
    if spec.features:
        weights += feature_bytes(timings.graph) / (_FLOAT_BYTES * dim * num_nodes)
    multiplied = timings.timed(("multiply by weights", dim), multiplying) * num_nodes / rows if weights else 0.0
    stepped = timings.timed(("step", dim), stepping) * num_nodes / rows
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
    spec: ArchitectureSpec, positives: sp.csr_matrix, size: int, rng: np.random.Generator, timings: Timings
) -> tuple[float, float]:
    """Time the loss and its gradient: seconds per batch, whatever its size, and seconds per user."""
    num_items, width = positives.shape[1], spec.width
    rows = min(num_items, _TIMED_ROWS)

    def normalising() -> Callable[[], object]:
        table = torch.rand((rows, width)).requires_grad_()
        return lambda: normalize(table, dim=1).sum().backward()  # type: ignore[no-untyped-call]

    item_s = timings.timed(("normalise", width), normalising) * num_items / rows
    # Per user: over as much of the catalogue as is quickly done. A full softmax grows with the rest of it.
    counted = size if spec.loss in _GROWING else _TIMED_USERS
    timed = min(rows, max(_TIMED_ITEMS, 2 * spec.num_negatives if spec.loss == "sampled_softmax" else 0))
    batch = _timed_batch(positives, counted, timed, rng)
    if batch is None:
        return item_s, 0.0

    def stepping() -> Callable[[], object]:
        users = normalize(torch.rand((len(batch.users), width)), dim=1).requires_grad_()
        items = normalize(torch.rand((timed, width)), dim=1).requires_grad_()

        def step() -> None:
            users.grad = items.grad = None
            LOSSES[spec.loss](users, items, batch, spec, rng).backward()  # type: ignore[no-untyped-call]

        return step

    def contrasting() -> Callable[[], object]:
        seen = torch.rand((min(size, positives.shape[0]), width)).requires_grad_()
        items = normalize(torch.rand((timed, width)), dim=1).requires_grad_()
        return lambda: view_contrast((seen, items), (seen.detach(), items.detach()), batch, rng).backward()  # type: ignore[no-untyped-call]

    growth = num_items / timed if spec.loss == "softmax" else 1.0
    key = ("loss", spec.loss, width, counted, timed, spec.num_negatives, spec.negatives)
    user_s = timings.timed(key, stepping) * growth / len(batch.users) * (2 if spec.adversarial_weight else 1)
    if not spec.contrast_weight:
        return item_s, user_s
    return item_s + 2 * timings.timed(("contrast", width, counted, size), contrasting), user_s


def _timed_batch(positives: sp.csr_matrix, counted: int, timed: int, rng: np.random.Generator) -> Batch | None:
    """Draw a batch of users, their positives folded into as many items as are timed."""
    some = positives[rng.integers(0, positives.shape[0], 4 * counted)]
    folded = sp.csr_matrix((some.data, some.indices % timed, some.indptr), shape=(some.shape[0], timed))
    return next(batches(folded, counted, rng), None)
