"""Explanation: what each item of a history adds to the score of a pair; exact where all branches are closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import FILTER, POPULARITY, TWO_HOP, BranchFacts
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.cold_start import FoldIn, Popularity, history_weights
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.vocabulary import Id, Vocabulary

_Rows = npt.NDArray[np.integer]
_Floats = npt.NDArray[np.float32]

_CLOSED = {FILTER, POPULARITY, TWO_HOP}  # whose scores are sums over a history, to the last term
_SHOWN = 5
_NAMED = 3
_REASONS = {
    "user": "because of what you had:",
    "fold_in": "because of what you look at:",
    "popularity": "because many others have it",
    "segment": "because many who are like you have it",
    "content": "because it is like",
    "unknown": "though nothing is known of it yet",
}
_NAME_NOTHING = {"segment", "unknown"}


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
        Items of the history with what each adds, the greatest first; those that add nothing are left out. Of an item
        that the catalogue does not have, known items that it is like.
    remainder
        By kind of branch, what is not due to any item: a popularity term; of ``"segment"`` beside it what each feature
        of the asker adds, as ``"user_features.age"``; of a graph filter its constant, what the
        rounding of the shipped vectors changes, and what a fold-in map that had to be fitted leaves open; of a trained
        network or a compressed blend what its own vector of the asker has beyond that map. Of an item that the
        catalogue does not have, what an item of average liking adds (``"average"``).
    exact
        Whether every contribution is the model's own sum, as of filters and links. The shares of a trained network or
        a compressed blend are those of the linear map that answers newcomers: an approximation, and the remainder
        says how much it leaves open.
    """

    item_id: Id
    score: float
    source: str
    contributions: tuple[tuple[Id, float], ...]
    remainder: dict[str, float]
    exact: bool = True

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form. Contributions and remainder add up to the score."""
        return {"item_id": self.item_id, "source": self.source, **self._parts(len(self.contributions))}

    def beside_item(self) -> dict[str, Any]:
        """Give the short form that stands with an item of an answer: its greatest contributions, and those of others.

        With ``others``, which says how many these are and what they add together, they and the remainder add up to
        the score.
        """
        rest = [value for _, value in self.contributions[_SHOWN:]]
        return {**self._parts(_SHOWN), "others": {"count": len(rest), "contribution": sum(rest, 0.0)}}

    def reason(self) -> tuple[str, tuple[Id, ...]]:
        """Say it in words.

        Returns
        -------
        template
            A sentence with one place ``{0}``, ``{1}``, ... for each of the items, to be filled with their titles.
        items
            Those that add most, at most three.
        """
        items = tuple(item_id for item_id, value in self.contributions if value > 0 or self.source == "content")[
            :_NAMED
        ]
        places = [f"{{{place}}}" for place in range(len(items))]
        if places:
            listed = " and ".join(filter(None, [", ".join(places[:-1]), places[-1]]))
            return f"{_REASONS[self.source]} {listed}", items
        return _REASONS[self.source if self.source in _NAME_NOTHING else "popularity"], ()

    def _parts(self, shown: int) -> dict[str, Any]:
        template, items = self.reason()
        return {
            "score": self.score,
            "contributions": [
                {"item_id": item_id, "contribution": value} for item_id, value in self.contributions[:shown]
            ],
            "remainder": self.remainder,
            "exact": self.exact,
            "reason": {"template": template, "items": list(items)},
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
    item_ids
        Vocabulary.
    """

    def __init__(
        self,
        branches: tuple[BranchFacts, ...],
        items: EmbeddingTable,
        counts: npt.NDArray[np.int32],
        fold_in: FoldIn,
        neighbours: Neighbours | None,
        *,
        item_ids: Vocabulary,
    ) -> None:
        self._items = items
        self._counts = counts
        self._fold_in = fold_in
        self._neighbours = neighbours
        self._item_ids = item_ids
        self._is_exact = all(branch.kind in _CLOSED for branch in branches)

    def explain(self, asker: Asker | None, crowd: Popularity, row: int) -> Explanation:
        """Say where the score of one item comes from, for an asker or, where there is None, for one of a crowd."""
        if asker is None:
            parts = crowd.parts(row)
            return Explanation(self._item_ids.id(row), sum(parts.values()), crowd.source, (), parts)
        shares, remainder = self.divide(asker.vector, asker.history, row)
        order = [place for place in np.argsort(-np.abs(shares), kind="stable").tolist() if shares[place] != 0]
        ids = self._item_ids.ids(asker.history[order])
        score = float(shares.sum()) + sum(remainder.values())
        contributions = tuple(zip(ids, shares[order].tolist(), strict=True))
        return Explanation(self._item_ids.id(row), score, asker.source, contributions, remainder, self._is_exact)

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
            if branch.kind != POPULARITY and len(history):
                found = self._branch_shares(branch, span, matrix, history, row)
                shares += found
                rest -= float(found.sum())
            remainder[branch.kind] = remainder.get(branch.kind, 0.0) + rest
        if self._neighbours is not None:
            linked = self._neighbours.shares(history, row)
            shares += linked
            remainder[TWO_HOP] = float(self._neighbours.links(history).at(np.array([row]))[0]) - float(linked.sum())
        return shares, remainder

    def _branch_shares(
        self, branch: BranchFacts, span: slice, matrix: _Floats, history: _Rows, row: int
    ) -> npt.NDArray[np.float64]:
        """Push the item's vector back through the fold-in map: one dot product per item of the history."""
        vectors = self._items.rows(history)[:, span].astype(np.float64)
        weights = history_weights(self._counts[history], branch.item_power, branch.history_power).astype(np.float64)
        target = self._items.row(row)[span].astype(np.float64)
        wide = matrix.astype(np.float64)
        shares: npt.NDArray[np.float64] = weights * (vectors @ (wide[:-1] @ target))
        if branch.unit_length:
            shares /= max(float(np.linalg.norm(np.append(weights @ vectors, 1.0) @ wide)), 1e-12)
        return shares
