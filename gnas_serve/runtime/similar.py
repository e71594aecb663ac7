"""Similar items and similar users: exact cosine over the shipped vectors, else over links or histories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import BranchFacts, personal_spans
from gnas_serve.errors import RequestError
from gnas_serve.runtime.embeddings import Columns, EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import SeenItems, is_among
from gnas_serve.runtime.topk import top_k

_BLOCK_VALUES = 1 << 22

_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class Cosines:
    """The rows of a table that point the way of one of them.

    The popularity column is left out: it tells how many like an item, not which others it is like. The vectors are
    scanned block by block, so that no second copy of the table is held.

    Parameters
    ----------
    table
        (n, D) vectors.
    spans
        The columns that are compared.
    """

    def __init__(self, table: EmbeddingTable, spans: Columns) -> None:
        self._table = table
        self._spans = spans

    def nearest(self, row: int, k: int) -> _Found:
        """Find the k rows of the highest cosine with one, itself left out, best first, ties by the lower row.

        Returns
        -------
        rows : (<= k,) int64
        scores : float32
            -1 to 1. A vector of zeros is near to none.
        """
        return self.nearest_to(self._table.rows(np.array([row]))[0], k, without=row)

    def nearest_to(self, vector: npt.NDArray[np.float32], k: int, *, without: int | None = None) -> _Found:
        """Find the k rows of the highest cosine with a vector, (D,), as :meth:`nearest` does; one may be left out."""
        query = self._telling(vector[None, :])[0]
        length = np.linalg.norm(query) if without is None else self._lengths[without]
        if length == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query = (query / length).astype(np.float32)
        scores = np.full(len(self._table), -np.inf, dtype=np.float32)
        for rows in self._blocks():
            usable = rows[self._lengths[rows] > 0]
            scores[usable] = self._table.score(query, usable) / self._lengths[usable]
        if without is not None:
            scores[without] = -np.inf
        best = top_k(scores, k)
        return best, np.clip(scores[best], -1.0, 1.0)

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float32]:
        lengths = np.zeros(len(self._table), dtype=np.float32)
        for rows in self._blocks():
            lengths[rows] = np.linalg.norm(self._telling(self._table.rows(rows)), axis=1)
        return lengths

    def _telling(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give (m, D) vectors with zeros in the columns that are not compared."""
        telling = np.zeros_like(vectors)
        for span in self._spans:
            telling[:, span] = vectors[:, span]
        return telling

    def _blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        block = max(1, _BLOCK_VALUES // self._table.dim)
        for start in range(0, len(self._table), block):
            yield np.arange(start, min(start + block, len(self._table)))


class SimilarItems:
    """Item-to-item neighbours of every kind of model.

    A model with vectors answers by their cosines alone, also where it has links besides: cosines and links are on
    scales of their own. A model of links and popularity answers by its links.

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
        spans = personal_spans(branches)
        self._items = items
        self._cosines = Cosines(items, spans) if spans else None
        self._neighbours = neighbours

    def find_like(self, rows: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], k: int) -> _Found:
        """Find the k items most similar to a mixture of some, (m,) each; what is mixed may be among them.

        Returns
        -------
        rows : (<= k,) int64
        scores : float32
            As of :meth:`find`.

        Raises
        ------
        RequestError
            As :meth:`find`.
        """
        if self._cosines is not None:
            mixed = weights.astype(np.float32) @ self._items.rows(rows)
            return self._cosines.nearest_to(mixed, k)
        if self._neighbours is None:
            raise _no_similarity()
        totals = np.zeros(len(self._items))
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            links = self._neighbours.links(np.array([row]))
            totals[links.rows] += weight * links.scores
        found = totals.astype(np.float32)
        best = top_k(np.where(found > 0, found, np.float32(-np.inf)), k)
        return best, found[best]

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
        if self._cosines is not None:
            return self._cosines.nearest(row, k)
        if self._neighbours is None:
            raise _no_similarity()
        links = self._neighbours.links(np.array([row]))
        best = links.best(k, np.array([row]))
        scores = links.at(best)
        return best[scores > 0], scores[scores > 0]


def _no_similarity() -> RequestError:
    return RequestError(
        "this model is of popularity alone: it does not tell which items are alike",
        hint="serve a model with item vectors or links for that",
        code="no_similarity",
    )


class SimilarUsers:
    """Users of the same taste: by their vectors, or in a model without any by the items that they share.

    Parameters
    ----------
    users
        The shipped user vectors.
    branches
        What the model is made of.
    seen
        The items of each user.

    Attributes
    ----------
    source
        What they are compared by: ``"vector"`` or ``"history"``.
    """

    def __init__(self, users: EmbeddingTable, branches: tuple[BranchFacts, ...], seen: SeenItems) -> None:
        spans = personal_spans(branches)
        self._cosines = Cosines(users, spans) if spans else None
        self._seen = seen
        self.source = "vector" if spans else "history"

    def find(self, row: int, k: int) -> _Found:
        """Find the k most similar users, best first, ties by the lower row.

        Returns
        -------
        rows : (<= k,) int64
        scores : float32
            Cosines of the vectors, -1 to 1; else of the sets of items, above 0: how many are shared, by the root of
            the product of both numbers.
        """
        if self._cosines is not None:
            return self._cosines.nearest(row, k)
        own = self._seen.of(row)
        sizes = np.diff(self._seen.offsets)
        # The number of shared items of every user, from one pass over all histories.
        among = np.concatenate([[0], np.cumsum(is_among(self._seen.items, own))])
        shared = among[self._seen.offsets[1:]] - among[self._seen.offsets[:-1]]
        scores = (shared / np.sqrt(np.maximum(sizes * len(own), 1.0))).astype(np.float32)
        scores[scores == 0] = -np.inf
        scores[row] = -np.inf
        best = top_k(scores, k)
        return best, scores[best]
