"""Similar items: exact cosine over the shipped item vectors, or the links of a model that has links alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import BranchFacts, personal_spans
from gnas_serve.errors import RequestError
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.topk import top_k

_BLOCK_VALUES = 1 << 22

_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class SimilarItems:
    """Item-to-item neighbours of every kind of model.

    By the cosine of the item vectors, whose popularity column is left out: it tells how many like an item, not which
    others it is like. A model with such vectors answers by them alone, also where it has links besides: cosines and
    links are on scales of their own. A model of links and popularity answers by its links. The vectors are scanned
    block by block so that no second copy of the table is held.

    Parameters
    ----------
    items
        The shipped item vectors.
    branches
        What the model is made of.
    neighbours
        Of a model with a two-hop branch.
    """

    def __init__(self, items: EmbeddingTable, branches: tuple[BranchFacts, ...], neighbours: Neighbours | None) -> None:
        self._items = items
        self._personal = personal_spans(branches)
        self._neighbours = neighbours
        self._norms = np.zeros(len(items), dtype=np.float32)
        for rows in self._blocks() if self._personal else ():
            self._norms[rows] = np.linalg.norm(self._telling(items.rows(rows)), axis=1)

    def find(self, row: int, k: int) -> _Found:
        """Find the k most similar items, best first, ties by the lower row.

        Returns
        -------
        rows : (<= k,) int64
        scores : float32
            Cosines, -1 to 1, of a model with vectors; an item without a vector is no neighbour of any. Of a model of
            links their weights, above 0; an item without links has no neighbours.

        Raises
        ------
        RequestError
            With code ``"no_similarity"``, if the model is of popularity alone.
        """
        if self._personal:
            return self._by_cosine(row, k)
        if self._neighbours is None:
            raise RequestError(
                "this model is of popularity alone: it does not tell which items are alike",
                hint="serve a model with item vectors or links for that",
                code="no_similarity",
            )
        links = self._neighbours.links(np.array([row]))
        best = links.best(k, np.array([row]))
        scores = links.at(best)
        return best[scores > 0], scores[scores > 0]

    def _by_cosine(self, row: int, k: int) -> _Found:
        if self._norms[row] == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query = self._telling(self._items.rows(np.array([row])))[0] / self._norms[row]
        scores = np.full(len(self._items), -np.inf, dtype=np.float32)
        for rows in self._blocks():
            usable = rows[self._norms[rows] > 0]
            scores[usable] = self._items.score(query, usable) / self._norms[usable]
        scores[row] = -np.inf
        best = top_k(scores, k)
        return best, np.clip(scores[best], -1.0, 1.0)

    def _telling(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give (m, D) vectors with zeros in the columns that do not tell items apart."""
        telling = np.zeros_like(vectors)
        for span in self._personal:
            telling[:, span] = vectors[:, span]
        return telling

    def _blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        block = max(1, _BLOCK_VALUES // self._items.dim)
        for start in range(0, len(self._items), block):
            yield np.arange(start, min(start + block, len(self._items)))
