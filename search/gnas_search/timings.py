"""Timings: kernels timed on samples of one graph, for the forecasts of its trainings."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import InteractionGraph
from gnas_search.operators.pattern import CsrPattern

_SAMPLED_ENTRIES = 1 << 19  # timed per kernel and direction
_REPEATS = 5  # the median counts


class Timings:
    """Kernels timed on one graph, each once: the forecasts of many architectures share most of theirs.

    Parameters
    ----------
    graph
        What would be trained on.
    repeats
        How often each is timed, after a first time that counts for nothing; the median counts.
    """

    def __init__(self, graph: InteractionGraph, *, repeats: int = _REPEATS) -> None:
        self.graph = graph
        self._repeats = repeats
        self._seconds: dict[tuple[object, ...], float] = {}
        self._patterns: dict[str, tuple[CsrPattern, CsrPattern]] = {}

    def timed(self, key: tuple[object, ...], prepare: Callable[[], Callable[[], object]]) -> float:
        """Time what ``prepare`` gives, unless that was done under this key."""
        if key not in self._seconds:
            self._seconds[key] = _timed(prepare(), self._repeats)
        return self._seconds[key]

    def directions(self, edges: str) -> tuple[CsrPattern, CsrPattern]:
        """Give a sample of the entries of ``"all"`` or the ``"target"`` edges, by users and by items."""
        if edges not in self._patterns:
            matrix = self.graph.pattern(edges)
            self._patterns[edges] = _sampled_directions(matrix, np.random.default_rng(0))
        return self._patterns[edges]


def _timed(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    run()  # compiles, and touches fresh memory
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


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
