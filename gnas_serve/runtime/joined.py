"""Known and unseen items in one list: how each is laid out and explained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.content_encoder import Liked, Score
from gnas_serve.runtime.explain import Explainer, Explanation
from gnas_serve.runtime.found_items import FoundItems
from gnas_serve.runtime.insertion import inserted
from gnas_serve.runtime.lookup import NOTHING, Who
from gnas_serve.runtime.parts import Parts
from gnas_serve.runtime.pool import Pool
from gnas_serve.runtime.stages import Staged
from gnas_serve.runtime.two_stages import Ranked, ranked
from gnas_serve.runtime.unseen_items import UnseenItems
from gnas_serve.vocabulary import Id, Vocabulary

CONTENT = "content"
UNTOLD = "unknown"
"""Source of an unseen item of which nothing is told that any known item has: it stands last."""

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
        What the unseen ones that something known is told of are worth; None where there are none of these.
    """

    unseen: UnseenItems
    rows: _Rows
    scores: _Floats
    liked: Liked | None

    @classmethod
    def of(cls, unseen: UnseenItems, found: Ranked, score: Score, history: npt.NDArray[np.integer]) -> Joined:
        """Put unseen items among what was found.

        A ranker cannot read what it has never seen, so an unseen item stands where its retrieval score stands among
        those of the retrieved items: after as many ranked ones as there are retrieved ones that are liked as much or
        more.

        Parameters
        ----------
        found
            All that was retrieved, ranked.
        score, history
            As of :meth:`gnas_serve.runtime.content_encoder.Leaning.liked`.
        """
        leans = [lean for lean in unseen.leans if lean is not None]
        liked = unseen.encoder.leaning(leans).liked(score, history) if leans else None
        values = np.full(len(unseen.told), -np.inf, dtype=np.float64)
        if liked is not None:
            values[[place for place, lean in enumerate(unseen.leans) if lean is not None]] = liked.scores
        retrieved = np.sort(found.retrieved)[::-1]
        rows, scores = inserted(found.rows, found.scores, retrieved, values, len(unseen.items))
        return cls(unseen, rows, scores, liked)

    def laid_out(self, rows: _Rows, items: Vocabulary, source: str) -> tuple[list[Id], _Rows, tuple[str, ...]]:
        """Give the ids of some of the rows, those that the catalogue has, and how each was found.

        Parameters
        ----------
        source
            Of the known ones.
        """
        known, told = len(items), list(self.unseen.told)
        found = [UNTOLD if lean is None else CONTENT for lean in self.unseen.leans]
        ids, sources = items.ids(np.where(rows < known, rows, 0)), []
        for place, row in enumerate(rows.tolist()):
            if row >= known:
                ids[place] = told[row - known]
            sources.append(found[row - known] if row >= known else source)
        return ids, rows[rows < known], tuple(sources)

    @property
    def stand_ins(self) -> _Rows:
        """Known items to tell the rows apart by: for an unseen one that which it is most like.

        Of one of which nothing is told, the first of the catalogue.
        """
        known = len(self.unseen.items)
        likest = [0 if lean is None else int(lean.rows[0]) for lean in self.unseen.leans]
        return np.array([likest[row - known] if row >= known else row for row in self.rows.tolist()], dtype=np.int64)

    def explanation(self, who: Who, row: int, explainer: Explainer) -> Explanation:
        """Say where the score of one of the rows comes from: of an unseen one, on which known items it leans."""
        place = row - len(self.unseen.items)
        if place < 0:
            return explainer.explain(who.asker, who.crowd, row)
        leans, item_id = self.unseen.leans, list(self.unseen.told)[place]
        lean = leans[place]
        if lean is None or self.liked is None:
            return Explanation(item_id, 0.0, UNTOLD, (), {}, exact=False)
        told = sum(one is not None for one in leans[:place])
        shares, rest = self.liked.shares_of(told), float(self.liked.rests[told])
        order = np.argsort(-np.abs(shares), kind="stable")
        ids = self.unseen.items.ids(lean.rows[order])
        contributions = tuple(zip(ids, shares[order].tolist(), strict=True))
        remainder = {"average": rest} if lean.rest else {}
        return Explanation(item_id, float(shares.sum()) + rest, CONTENT, contributions, remainder, exact=False)


def traced(parts: Parts, who: Who, unseen: UnseenItems) -> Explanation:
    """Say what of an asker's past the score of the first unseen item comes from."""
    nothing = Ranked(NOTHING, np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))
    joined = joined_for(parts, who, unseen, nothing)
    found, lean = joined.explanation(who, len(unseen.items), parts.explainer), unseen.leans[0]
    if lean is None or joined.liked is None:
        return found
    return parts.explainer.trace(found, who.asker, who.crowd, lean, joined.liked.own)


def items_found(parts: Parts, candidates: int, who: Who, pool: Pool, count: int) -> Staged[FoundItems]:
    """Retrieve and rank, and put unseen items where they belong.

    Parameters
    ----------
    parts, candidates, who, pool, count
        As of :func:`gnas_serve.runtime.two_stages.ranked`.

    Returns
    -------
    FoundItems
        At least as many as are wanted, where there are so many.
    """
    if pool.unseen is None:
        return (yield from ranked(parts, candidates, who, pool, count))
    # All that is ranked: an unseen item stands by its place among what was retrieved.
    found = yield from ranked(parts, candidates, who, pool, max(count, candidates))
    return joined_for(parts, who, pool.unseen, found)


def joined_for(parts: Parts, who: Who, unseen: UnseenItems, found: Ranked) -> Joined:
    """Put unseen items among what was found for an asker."""
    asker = who.asker
    if asker is None:
        return Joined.of(unseen, found, who.crowd.scores.take, NOTHING)
    return Joined.of(unseen, found, partial(parts.retriever.scores, asker.vector, asker.history), asker.history)
