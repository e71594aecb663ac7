"""Known and unseen items in one list: where each stands, on which scale, and how it is laid out and explained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.arrivals import Arrivals
from gnas_serve.runtime.content_encoder import Liked, Score
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.two_stages import Ranked
from gnas_serve.vocabulary import Id

CONTENT = "content"
UNTOLD = "unknown"
"""Source of an arrival of which nothing is told that any known item has: it stands last."""

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Joined:
    """Known and unseen items in one list.

    Attributes
    ----------
    rows : (n,) int64
        Those from the number of known items on are unseen ones.
    scores : (n,) float32
        Descending.
    liked
        What the arrivals that something is told of are worth; None where there are none of these.
    """

    arrivals: Arrivals
    rows: _Rows
    scores: _Floats
    liked: Liked | None

    @classmethod
    def of(cls, arrivals: Arrivals, found: Ranked, score: Score, history: npt.NDArray[np.integer]) -> Joined:
        """Put arrivals among what was found.

        A ranker cannot read what it has never seen, so an arrival stands where its retrieval score stands among those
        of the retrieved items: after as many ranked ones as there are retrieved ones that are liked as much or more.

        Parameters
        ----------
        found
            All that was retrieved, ranked.
        score, history
            As of :meth:`gnas_serve.runtime.content_encoder.Leaning.liked`.
        """
        leans = [lean for lean in arrivals.leans if lean is not None]
        liked = arrivals.encoder.leaning(leans).liked(score, history) if leans else None
        values = np.full(len(arrivals.told), -np.inf, dtype=np.float64)
        if liked is not None:
            values[[place for place, lean in enumerate(arrivals.leans) if lean is not None]] = liked.scores
        retrieved = np.sort(found.retrieved)[::-1]
        rows, scores = _inserted(found.rows, found.scores, retrieved, values, len(arrivals.items))
        return cls(arrivals, rows, scores, liked)

    def ids(self, rows: _Rows) -> list[Id]:
        """Give the ids of some of the rows."""
        known, unseen = len(self.arrivals.items), list(self.arrivals.told)
        ids = self.arrivals.items.ids(np.where(rows < known, rows, 0))
        return [unseen[row - known] if row >= known else one for row, one in zip(rows.tolist(), ids, strict=True)]

    def sources(self, rows: _Rows, source: str) -> tuple[str, ...]:
        """Say of some of the rows how each was found; ``source`` is that of the known ones."""
        known, leans = len(self.arrivals.items), self.arrivals.leans
        unseen = [UNTOLD if lean is None else CONTENT for lean in leans]
        return tuple(unseen[row - known] if row >= known else source for row in rows.tolist())

    def stand_ins(self, rows: _Rows) -> _Rows:
        """Give known items for some of the rows: for an unseen one that it is most like, to be told apart by.

        Of one of which nothing is told, the first of the catalogue.
        """
        known = len(self.arrivals.items)
        likest = [0 if lean is None else int(lean.rows[0]) for lean in self.arrivals.leans]
        return np.array([likest[row - known] if row >= known else row for row in rows.tolist()], dtype=np.int64)

    def explanation(self, row: int) -> Explanation | None:
        """Say on which known items an unseen one leans, and what each adds; None of a known one."""
        place = row - len(self.arrivals.items)
        if place < 0:
            return None
        leans, item_id = self.arrivals.leans, list(self.arrivals.told)[place]
        lean = leans[place]
        if lean is None or self.liked is None:
            return Explanation(item_id, 0.0, UNTOLD, (), {}, exact=False)
        told = sum(one is not None for one in leans[:place])
        shares, rest = self.liked.shares_of(told), float(self.liked.rests[told])
        order = np.argsort(-np.abs(shares), kind="stable")
        ids = self.arrivals.items.ids(lean.rows[order])
        contributions = tuple(zip(ids, shares[order].tolist(), strict=True))
        remainder = {"average": rest} if lean.rest else {}
        return Explanation(item_id, float(shares.sum()) + rest, CONTENT, contributions, remainder, exact=False)


def _inserted(
    rows: _Rows, scores: _Floats, retrieved: _Floats, values: npt.NDArray[np.float64], num_items: int
) -> tuple[_Rows, _Floats]:
    """Insert items by their retrieval scores, ``-inf`` where there is none, into ranked ones."""
    count = len(rows)
    above = count - np.searchsorted(retrieved[::-1], values, side="left")
    found = _carried_over(scores.astype(np.float64), retrieved.astype(np.float64), values, above)
    told = found[values > -np.inf]
    lowest = min([float(one.min()) for one in (scores, told) if len(one)], default=0.0)
    found = np.where(values > -np.inf, found, lowest)
    order = np.argsort(-values, kind="stable")
    # After `above` of the known ones, and before the next of them; the better first.
    keys = np.concatenate([np.arange(count, dtype=np.float64), above[order] - 0.5])
    merged = np.argsort(keys, kind="stable")
    every = np.concatenate([rows, num_items + order])[merged].astype(np.int64)
    return every, np.concatenate([scores, found[order].astype(np.float32)])[merged].astype(np.float32)


def _carried_over(
    scores: npt.NDArray[np.float64],
    retrieved: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    above: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Carry retrieval scores over to the scale of ranked ones: in proportion between two, as far beyond the ends."""
    count = len(scores)
    if count == 0:
        return values
    upper, lower = np.clip(above - 1, 0, count - 1), np.clip(above, 0, count - 1)
    width = retrieved[upper] - retrieved[lower]
    share = np.divide(values - retrieved[lower], width, out=np.zeros(len(values)), where=width > 0)
    between = scores[lower] + np.clip(share, 0.0, 1.0) * (scores[upper] - scores[lower])
    inside = (above > 0) & (above < count)
    found: npt.NDArray[np.float64] = np.where(inside, between, scores[lower] + (values - retrieved[lower]))
    return found
