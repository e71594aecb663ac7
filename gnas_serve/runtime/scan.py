"""Search that scores as it goes: int8 vectors as they ship, all of them or those of the nearest lists, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve import kernels
from gnas_serve.runtime.embeddings import EmbeddingTable, sum_parts, whole_parts
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.neighbours import Links
from gnas_serve.runtime.topk import top_k

_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.integer]


class TableScan:
    """Exact search: every row of a table of int8.

    Compiled kernels hold the vectors a second time, in blocks, from the first question on.

    Parameters
    ----------
    items
        (I, D) int8 vectors.

    Raises
    ------
    ValueError
        If the vectors are no int8.
    """

    exhaustive = True

    def __init__(self, items: EmbeddingTable) -> None:
        if items.scales is None:
            raise ValueError("vectors of whole numbers alone are scanned as they are")
        self._items = items
        self._num_items, self._num_parts = len(items), len(items.columns)

    def search(self, query: _Floats, count: int, excluded: _Rows) -> _Found:
        """Find the best rows with the score of each branch.

        Parameters
        ----------
        query : (D,) float32
        count
            How many.
        excluded : (e,) distinct rows never to find

        Returns
        -------
        rows : (<= count,) int64
            Best first, ties by the lower row.
        parts : (<= count, B) float32
            As :meth:`EmbeddingTable.score_parts` gives them.
        """
        lists = self._items.kernel_lists()
        if lists is not None:
            return _search(lists, query, min(count, self._num_items), 1, excluded, self._num_parts)
        parts = self._items.score_parts(query, np.arange(self._num_items))
        scores = sum_parts(parts).copy()
        scores[excluded] = -np.inf
        rows = top_k(scores, count)
        return rows, parts.take(rows, axis=0)

    def propose(self, query: _Floats, count: int, excluded: _Rows, links: Links | None = None) -> npt.NDArray[np.int64]:
        """Propose the exact best rows of the summed scores."""
        if links is None:
            return self.search(query, count, excluded)[0]
        scores = sum_parts(self._items.score_parts(query, np.arange(self._num_items))).copy()
        scores[links.rows] += links.scores
        scores[excluded] = -np.inf
        return top_k(scores, count)


class ListScan:
    """Inverted lists of int8 vectors, with no codes beside them: what is probed is scored exactly.

    Compiled kernels hold the vectors a second time, in blocks, list by list: each worker for itself.

    Parameters
    ----------
    items
        (I, D) int8 vectors: those that ship, or a projection of them.
    lists
        Which item is in which list.
    nprobe
        How many lists a query visits.

    Raises
    ------
    ValueError
        If the lists are of other items.
    """

    exhaustive = False

    def __init__(self, items: EmbeddingTable, lists: InvertedLists, nprobe: int) -> None:
        shape = (len(items), items.dim, len(items.columns))
        if items.scales is None or (len(lists.assigned), lists.centroids.shape[1], lists.scales.shape[1]) != shape:
            raise ValueError(f"the inverted lists are not of {shape[0]} int8 vectors of width {shape[1]}")
        self.nprobe = nprobe
        self._items = items
        self._num_items, self._num_lists, self._num_parts = len(items), len(lists.centroids), len(items.columns)
        self._lists = lists
        self._rows, self._starts = lists.in_order()
        self._opened: Any = None
        self._open()  # before the first question comes

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._items.dim

    def is_over(self, items: EmbeddingTable) -> bool:
        """Tell whether it scans these vectors, so that its scores are theirs."""
        return self._items is items

    def search(self, query: _Floats, count: int, excluded: _Rows) -> _Found:
        """Find the best rows of the nearest lists, as :meth:`TableScan.search` does of all.

        Where much is excluded, as with a filter, more lists are visited in the same proportion, so that as many items
        as ever are looked at.
        """
        left = self._num_items - len(excluded)
        nprobe = min(self._num_lists, self.nprobe * self._num_items // max(1, left))
        if kernels.native is not None:
            return _search(self._open(), query, min(count, self._num_items), nprobe, excluded, self._num_parts)
        items, lists = self._items, self._lists
        nearness = sum_parts(whole_parts(lists.centroids, lists.scales, items.columns, query))
        is_probed = np.zeros(self._num_lists, dtype=np.bool_)
        is_probed[top_k(nearness, nprobe)] = True
        rows = self._rows[is_probed.repeat(np.diff(self._starts))].astype(np.int64)
        rows.sort()  # ties go by the lower row
        parts = items.score_parts(query, rows)
        scores = sum_parts(parts).copy()
        scores[np.isin(rows, excluded)] = -np.inf
        best = top_k(scores, count)
        return rows.take(best), parts.take(best, axis=0)

    def propose(
        self,
        query: _Floats,
        count: int,
        excluded: _Rows,
        links: Links | None = None,  # noqa: ARG002  # no list holds every item: the retriever adds what is linked
    ) -> npt.NDArray[np.int64]:
        """Propose the best rows of the nearest lists."""
        return self.search(query, count, excluded)[0]

    def _open(self) -> Any:
        if self._opened is None and kernels.native is not None:
            self._opened = kernels.native.open_lists(
                *self._items.for_kernels(), self._rows, self._starts, self._lists.centroids, self._lists.scales
            )
        return self._opened


def _search(lists: Any, query: _Floats, count: int, nprobe: int, excluded: _Rows, num_parts: int) -> _Found:
    rows, parts = np.empty(count, dtype=np.int64), np.empty((count, num_parts), dtype=np.float32)
    query, excluded = np.ascontiguousarray(query, np.float32), np.ascontiguousarray(excluded, np.int64)
    found: int = kernels.native.search(lists, query, count, nprobe, excluded, rows, parts)  # type: ignore[union-attr]
    return (rows, parts) if found == count else (rows[:found], parts[:found])
