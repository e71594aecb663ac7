"""Explanation: what each item of a history adds to the score of a pair; exact where all branches are closed forms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import FILTER, POPULARITY, TWO_HOP, BranchFacts
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.cold_start import FoldIn, Popularity, history_weights
from gnas_serve.runtime.content_encoder import Lean
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import is_among
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
        that the catalogue does not have, beside an item of an answer, known items that it is like.
    remainder
        By kind of branch, what is not due to any item: a popularity term; of ``"segment"`` beside it what each feature
        of the asker adds, as ``"user_features.age"``; of a graph filter its constant, what the
        rounding of the shipped vectors changes, and what a fold-in map that had to be fitted leaves open; of a trained
        network or a compressed blend what its own vector of the asker has beyond that map. Of an item that the
        catalogue does not have, what an item of average liking adds (``"average"``).
    like
        Of an item that the catalogue does not have, where the contributions are those of the history: the known items
        that it is like, with what each adds. The history adds what it does through their scores.
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
    like: tuple[tuple[Id, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form. Contributions and remainder add up to the score; so do ``like`` and the average."""
        like = {"like": _laid_out(self.like)} if self.like else {}
        return {"item_id": self.item_id, "source": self.source, **self._parts(len(self.contributions)), **like}

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
        named = self.like or self.contributions
        raising = [item_id for item_id, value in named if value > 0]
        if not raising and self.source == "content":  # whatever it is like, it is here for that
            raising = [item_id for item_id, _ in named]
        items = tuple(raising[:_NAMED])
        places = [f"{{{place}}}" for place in range(len(items))]
        if places:
            listed = " and ".join(filter(None, [", ".join(places[:-1]), places[-1]]))
            return f"{_REASONS[self.source]} {listed}", items
        return _REASONS[self.source if self.source in _NAME_NOTHING else "popularity"], ()

    def _parts(self, shown: int) -> dict[str, Any]:
        template, items = self.reason()
        return {
            "score": self.score,
            "contributions": _laid_out(self.contributions[:shown]),
            "remainder": self.remainder,
            "exact": self.exact,
            "reason": {"template": template, "items": list(items)},
        }


def _laid_out(contributions: tuple[tuple[Id, float], ...]) -> list[dict[str, Any]]:
    return [{"item_id": item_id, "contribution": value} for item_id, value in contributions]


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
        shares, remainder = self.divide(asker.vector, asker.history, np.array([row]), np.ones(1))
        score = float(shares.sum()) + sum(remainder.values())
        contributions = self._named(asker.history, shares)
        return Explanation(self._item_ids.id(row), score, asker.source, contributions, remainder, self._is_exact)

    def trace(self, found: Explanation, asker: Asker | None, crowd: Popularity, lean: Lean, own: float) -> Explanation:
        """Say what of an asker's past the score of an unseen item comes from, through the known items that it is like.

        Parameters
        ----------
        found
            On which these are, with what each adds.
        asker, crowd
            As of :meth:`explain`.
        lean
            The same with their weights.
        own
            As of :class:`gnas_serve.runtime.content_encoder.Liked`.
        """
        shares, remainder = np.empty(0), dict[str, float]()
        contributions: tuple[tuple[Id, float], ...] = ()
        if asker is None:
            for row, weight in zip(lean.rows.tolist(), lean.weights.tolist(), strict=True):
                for kind, part in crowd.parts(row).items():
                    remainder[kind] = remainder.get(kind, 0.0) + weight * part
        else:
            shares, remainder = self.divide(asker.vector, asker.history, lean.rows, lean.weights)
            # What the asker has counts as liked more than the model says: that is due to it alone.
            has = is_among(lean.rows, asker.history)
            shares[np.searchsorted(asker.history, lean.rows[has])] += own * lean.weights[has]
            contributions = self._named(asker.history, shares)
        remainder |= found.remainder
        score = float(shares.sum()) + sum(remainder.values())
        return replace(found, score=score, contributions=contributions, remainder=remainder, like=found.contributions)

    def _named(self, history: _Rows, shares: npt.NDArray[np.float64]) -> tuple[tuple[Id, float], ...]:
        """Name the items of a history that add anything, the greatest first."""
        order = [place for place in np.argsort(-np.abs(shares), kind="stable").tolist() if shares[place] != 0]
        return tuple(zip(self._item_ids.ids(history[order]), shares[order].tolist(), strict=True))

    def divide(
        self, user: _Floats, history: _Rows, rows: _Rows, weights: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
        """Divide the weighted sum of the scores of some items; all of it is linear in their vectors.

        Parameters
        ----------
        user : (D,) float32
            The vector that represents the asker.
        history : (h,) distinct item rows
        rows : (m,) item rows
        weights : (m,) float64

        Returns
        -------
        shares : (h,) float64
            What each item of the history adds.
        remainder
            By kind of branch, the rest of its score.
        """
        shares = np.zeros(len(history))
        remainder: dict[str, float] = {}
        own = weights @ self._items.score_parts(user, rows).astype(np.float64)  # (B,)
        target = weights @ self._items.rows(rows).astype(np.float64)  # (D,)
        for (branch, span, matrix), score in zip(self._fold_in.maps, own.tolist(), strict=True):
            rest = score
            if branch.kind != POPULARITY and len(history):
                found = self._branch_shares(branch, span, matrix, history, target[span])
                shares += found
                rest -= float(found.sum())
            remainder[branch.kind] = remainder.get(branch.kind, 0.0) + rest
        if self._neighbours is not None:
            linked = self._neighbours.shares(history, rows, weights)
            shares += linked
            whole = float(weights @ self._neighbours.links(history).at(rows).astype(np.float64))
            remainder[TWO_HOP] = whole - float(linked.sum())
        return shares, remainder

    def _branch_shares(
        self, branch: BranchFacts, span: slice, matrix: _Floats, history: _Rows, target: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Push an item's vector back through the fold-in map: one dot product per item of the history."""
        vectors = self._items.rows(history)[:, span].astype(np.float64)
        weights = history_weights(self._counts[history], branch.item_power, branch.history_power).astype(np.float64)
        wide = matrix.astype(np.float64)
        shares: npt.NDArray[np.float64] = weights * (vectors @ (wide[:-1] @ target))
        if branch.unit_length:
            shares /= max(float(np.linalg.norm(np.append(weights @ vectors, 1.0) @ wide)), 1e-12)
        return shares
