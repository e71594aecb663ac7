"""First stage: from a user vector to scored candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import FlatIndex, Index


class Retriever:
    """Proposes with an index and scores with the shipped vectors.

    Parameters
    ----------
    items
        The shipped item vectors.
    index
        Proposes rows; its own scores are approximate and are not used. Where it runs dry, exact search takes over, on
        a float32 copy of the vectors that is made at the first such question (4 bytes times items times width).
    """

    def __init__(self, items: EmbeddingTable, index: Index) -> None:
        self._items = items
        self._index = index
        self._exact: FlatIndex | None = index if isinstance(index, FlatIndex) else None

    def retrieve(
        self, query: npt.NDArray[np.float32], count: int, excluded: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the best ``count`` items for one vector.

        Parameters
        ----------
        query : (d,) float32
        count
            How many candidates.
        excluded : (e,) ascending item rows

        Returns
        -------
        rows : (c,) int64
            Best first, ties by the lower row; fewer than ``count`` only where no more items are left.
        scores : (c,) float32
        """
        rows = self._index.propose(query, count, excluded)
        if len(rows) < min(count, len(self._items) - len(excluded)):
            # The probed lists ran dry (a long history, a large count): exact search keeps the promise.
            if self._exact is None:
                self._exact = FlatIndex(self._items.dense())
            rows = self._exact.propose(query, count, excluded)
        scores = self._items.score(query, rows)
        order = np.lexsort((rows, -scores))
        return rows[order], scores[order]
