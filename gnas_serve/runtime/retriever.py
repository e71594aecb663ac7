"""Retriever: from a user vector and a history to scored candidates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.embeddings import EmbeddingTable, sum_parts
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.neighbours import Links, Neighbours
from gnas_serve.runtime.opened_index import flat_index
from gnas_serve.runtime.scan import ListScan, TableScan
from gnas_serve.runtime.seen import is_among
from gnas_serve.runtime.topk import top_k


class Candidates(NamedTuple):
    """Scored items of one request.

    Attributes
    ----------
    rows : (c,) int64
        Best first, ties by the lower row.
    scores : (c,) float32
        The sums of the parts.
    parts : (c, P) float32
        The score of each branch: those with vectors in their order, then two-hop where the model has neighbours.
    """

    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    parts: npt.NDArray[np.float32]


class Retriever:
    """Proposes with an index and along links, and scores with the shipped vectors and neighbours.

    Parameters
    ----------
    items
        The shipped item vectors, of width D.
    index
        Proposes rows; its own scores are not used unless it scans the shipped vectors themselves. Where it runs dry,
        exact search takes over; of vectors that are no int8, on a float32 copy that is made at the first such question
        (4 bytes times items times width).
    neighbours
        Of a model with a two-hop branch.
    projection : (D, r) float32, optional
        Makes of a user vector the query of an index over narrower vectors.
    """

    def __init__(
        self,
        items: EmbeddingTable,
        index: Index,
        neighbours: Neighbours | None = None,
        projection: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._items = items
        self._num_items = len(items)
        self._index = index
        # What scores the shipped vectors itself, and all that there is to score: its answer needs no second look.
        self._scan: ListScan | TableScan | None = None
        if neighbours is None and isinstance(index, ListScan | TableScan) and projection is None:
            self._scan = index
        self._neighbours = neighbours
        self._projection = projection
        self._exact: Index | None = index if index.exhaustive and projection is None else None

    def retrieve(
        self,
        query: npt.NDArray[np.float32],
        history: npt.NDArray[np.integer],
        count: int,
        excluded: npt.NDArray[np.integer],
        allowed: npt.NDArray[np.int64] | None = None,
    ) -> Candidates:
        """Find the best ``count`` items for one user.

        Parameters
        ----------
        query : (D,) float32
        history : (h,) distinct item rows
            Whose neighbours score; not looked at by a model without neighbours.
        count
            How many candidates.
        excluded : (e,) ascending item rows
        allowed : (a,) ascending item rows, optional
            What may be found, scored one and all: an index that is asked for more until some of them are among its
            proposals finds half of them (.4 to .6, on Gowalla).

        Returns
        -------
        Candidates
            Fewer than ``count`` only where no more items are left.
        """
        if allowed is None and self._scan is not None:
            rows, parts = self._scan.search(query, count, excluded)
            if len(rows) == min(count, self._num_items - len(excluded)) or self._scan.exhaustive:
                return Candidates(rows, sum_parts(parts), parts)
        links = None if self._neighbours is None else self._neighbours.links(history)
        if allowed is None:
            # In the order of memory, and of the rule for ties.
            rows = np.sort(self._proposed(query, links, count, excluded))
        else:
            rows = allowed[~is_among(allowed, excluded)]
        parts = self._parts(query, links, rows)
        scores = sum_parts(parts)
        order = top_k(scores, count)
        best = scores.take(order)
        return Candidates(rows.take(order), best, best[:, None] if parts.shape[1] == 1 else parts.take(order, axis=0))

    def scores(
        self, query: npt.NDArray[np.float32], history: npt.NDArray[np.integer], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Score some rows for one user, (m,), as :meth:`retrieve` does."""
        links = None if self._neighbours is None else self._neighbours.links(history)
        return sum_parts(self._parts(query, links, rows))

    def _parts(
        self, query: npt.NDArray[np.float32], links: Links | None, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        parts = self._items.score_parts(query, rows)
        return parts if links is None else np.concatenate([parts, links.at(rows)[:, None]], axis=1)

    def _proposed(
        self,
        query: npt.NDArray[np.float32],
        links: Links | None,
        count: int,
        excluded: npt.NDArray[np.integer],
    ) -> npt.NDArray[np.int64]:
        aimed = query if self._projection is None else query @ self._projection
        rows = self._index.propose(aimed, count, excluded, links)
        if links is not None and not self._index.exhaustive:
            rows = _united(rows, links.best(count, excluded))
        if len(rows) < min(count, self._num_items - len(excluded)):
            # The probed lists ran dry (a long history, a large count): exact search keeps the promise.
            if self._exact is None:
                self._exact = flat_index(self._items)
            return self._exact.propose(query, count, excluded, links)
        return rows


def _united(rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Unite two sets of rows, at a tenth of the time that ``np.union1d`` takes for some hundreds."""
    both = np.concatenate([rows, others])
    both.sort()
    is_first = np.ones(len(both), dtype=np.bool_)
    np.not_equal(both[1:], both[:-1], out=is_first[1:])
    return both[is_first]
