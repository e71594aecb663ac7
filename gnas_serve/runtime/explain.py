"""Explanation: what each item of a history adds to the score of a pair; exact where a branch is a closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import FILTER, TWO_HOP, BranchFacts
from gnas_serve.runtime.cold_start import FoldIn, history_weights
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.vocabulary import Id

_Rows = npt.NDArray[np.integer]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """Where the retrieval score of one item for one asker comes from.

    Attributes
    ----------
    item_id, score
        The item and its score, that of retrieval: a learned ranker has the last word on the order, not on this.
    source
        How the asker was represented, as in :class:`gnas_serve.runtime.query.Answer`.
    contributions
        Items of the history with what each adds, the greatest first; those that add nothing are left out.
    remainder
        By kind of branch, what is not due to any item: a popularity term, the whole score of a trained network or of a
        compressed blend; of a graph filter its constant, what the rounding of the shipped vectors changes, and what a
        fold-in map that had to be fitted leaves open.
    """

    item_id: Id
    score: float
    source: str
    contributions: tuple[tuple[Id, float], ...]
    remainder: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form. Contributions and remainder add up to the score."""
        return {
            "item_id": self.item_id,
            "score": self.score,
            "source": self.source,
            "contributions": [{"item_id": item_id, "contribution": value} for item_id, value in self.contributions],
            "remainder": self.remainder,
        }


class Explainer:
    """Divides scores among the items of a history.

    Parameters
    ----------
    branches
        What the model is made of.
    items
        The shipped item vectors.
    counts : (I,) int32
    fold_in
        The maps that make user vectors of histories; of a graph filter they are exact.
    neighbours
        Of a model with a two-hop branch.
    """

    def __init__(
        self,
        branches: tuple[BranchFacts, ...],
        items: EmbeddingTable,
        counts: npt.NDArray[np.int32],
        fold_in: FoldIn,
        neighbours: Neighbours | None,
    ) -> None:
        self._branches = branches
        self._items = items
        self._counts = counts
        self._fold_in = fold_in
        self._neighbours = neighbours

    def divide(self, user: _Floats, history: _Rows, row: int) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
        """Divide the score of one item.

        Parameters
        ----------
        user : (D,) float32
            The vector that represents the asker.
        history : (h,) distinct item rows
        row
            The item.

        Returns
        -------
        shares : (h,) float64
            What each item of the history adds.
        remainder
            By kind of branch, the rest of its score.
        """
        shares = np.zeros(len(history))
        remainder: dict[str, float] = {}
        own = self._items.score_parts(user, np.array([row]))[0]  # (B,)
        for (branch, span, matrix), score in zip(self._fold_in.maps, own.tolist(), strict=True):
            rest = score
            if branch.kind == FILTER:
                found = self._filter_shares(branch, span, matrix, history, row)
                shares += found
                rest -= float(found.sum())
            remainder[branch.kind] = remainder.get(branch.kind, 0.0) + rest
        if self._neighbours is not None:
            linked = self._neighbours.shares(history, row)
            shares += linked
            remainder[TWO_HOP] = float(self._neighbours.links(history).at(np.array([row]))[0]) - float(linked.sum())
        return shares, remainder

    def _filter_shares(
        self, branch: BranchFacts, span: slice, matrix: _Floats, history: _Rows, row: int
    ) -> npt.NDArray[np.float64]:
        """Push the item's vector back through the fold-in map: one dot product per item of the history."""
        vectors = self._items.rows(history)[:, span].astype(np.float64)
        weights = history_weights(self._counts[history], branch.item_power, branch.history_power).astype(np.float64)
        target = self._items.row(row)[span].astype(np.float64)
        wide = matrix.astype(np.float64)
        shares: npt.NDArray[np.float64] = weights * (vectors @ (wide[:-1] @ target))
        return shares
