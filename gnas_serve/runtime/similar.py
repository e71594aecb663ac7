"""Similar items: exact cosine over the shipped item vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.topk import top_k

_BLOCK_VALUES = 1 << 22


class SimilarItems:
    """Item-to-item neighbours, scanned block by block so that no second copy of the table is held.

    Parameters
    ----------
    items
        The shipped item vectors.
    """

    def __init__(self, items: EmbeddingTable) -> None:
        self._items = items
        self._norms = np.empty(len(items), dtype=np.float32)
        for rows in self._blocks():
            self._norms[rows] = np.linalg.norm(items.rows(rows), axis=1)

    def find(self, row: int, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the k nearest items by cosine, best first, ties by the lower row.

        Returns
        -------
        rows : (<= k,) int64
        scores : float32, -1 to 1; an item without a vector is no neighbour of any
        """
        if self._norms[row] == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query = self._items.row(row) / self._norms[row]
        scores = np.full(len(self._items), -np.inf, dtype=np.float32)
        for rows in self._blocks():
            usable = rows[self._norms[rows] > 0]
            scores[usable] = self._items.score(query, usable) / self._norms[usable]
        scores[row] = -np.inf
        best = top_k(scores, k)
        return best, np.clip(scores[best], -1.0, 1.0)

    def _blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        block = max(1, _BLOCK_VALUES // self._items.dim)
        for start in range(0, len(self._items), block):
            yield np.arange(start, min(start + block, len(self._items)))
