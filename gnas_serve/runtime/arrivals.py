"""Arrivals: items of one question that the catalogue does not have, told by their attributes, and answered with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import NewItemError
from gnas_serve.plain_text import plain_text
from gnas_serve.runtime.content_encoder import ContentEncoder, ItemValue, Lean, Liked, Score
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.query import ItemFeatures, Query, check_item_features
from gnas_serve.runtime.told_attributes import told_attributes
from gnas_serve.vocabulary import Id, Vocabulary

CONTENT = "content"
UNTOLD = "unknown"
"""Source of an arrival of which nothing is told that any known item has: it stands last."""
_MAX_NAMED = 20
_MAX_SHOWN = 40

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Arrivals:
    """The unseen items of one question; the first has the row after the last of the catalogue, and so on.

    Attributes
    ----------
    told
        Their attributes, by id in the type that ids have.
    leans
        What each leans on; None where nothing known is told of it.
    """

    told: Mapping[Id, Mapping[str, ItemValue]]
    leans: tuple[Lean | None, ...]
    encoder: ContentEncoder
    filters: Filters
    items: Vocabulary

    @classmethod
    def of(
        cls,
        features: ItemFeatures,
        items: Vocabulary,
        encoder: ContentEncoder | None,
        filters: Filters,
        *,
        strict: bool,
    ) -> Arrivals:
        """Read what a question tells.

        What is told of an item that the catalogue has meanwhile is passed over: it is asked for as the known item that
        it is, so that one question can be put to two versions of a model of which one has it.

        Parameters
        ----------
        strict
            Whether that is an error.

        Raises
        ------
        NewItemError
            If there is no encoder, no attribute of a name, or of a strict question the catalogue has one of the items.
        """
        if encoder is None:
            raise NewItemError(
                "item_features: this model has no content encoder",
                hint="export it from data with an items file whose columns tell what users want; the report of an "
                "export says why none ships",
                code="no_content_encoder",
            )
        check_item_features(features)
        told: dict[Id, Mapping[str, ItemValue]] = {}
        # In the order of their ids: a map of a message has none.
        for text, attributes in sorted(features, key=_id):
            unknown = min((name for name, _ in attributes if name not in filters.names), default=None)
            if unknown is not None:
                raise _unknown_attribute(unknown, filters.names)
            if items.row(text) >= 0:
                if not strict:
                    continue
                raise NewItemError(
                    f"item_features: the catalogue has item {_shown(text)} already",
                    hint="tell attributes of items that it does not have, and name the others in candidates; or leave "
                    "out strict, and it is answered as it is known",
                    code="known_item",
                )
            told[items.as_id(text)] = dict(attributes)
        return cls(told, tuple(encoder.lean(one) for one in told.values()), encoder, filters, items)

    def divided(self, query: Query, *, excluding: bool) -> tuple[Query, Arrivals]:
        """Take these items out of the lists of a question, where others would not be known.

        Parameters
        ----------
        excluding
            Whether those in its history and those that are not wanted are left out.

        Returns
        -------
        query
            Of items of the catalogue alone.
        arrivals
            Those that may be answered.
        """
        may = set(self.told)
        if query.candidates is not None:
            may &= {self.items.as_id(one) for one in query.candidates}
        if excluding:
            may -= {self.items.as_id(one) for one in (*query.exclude_items, *query.history)}
        rest = replace(
            query,
            history=self._others(query.history),
            exclude_items=self._others(query.exclude_items),
            candidates=None if query.candidates is None else self._others(query.candidates),
        )
        return rest, self._only([place for place, one in enumerate(self.told) if one in may])

    def passing(self, expression: str) -> Arrivals:
        """Leave those that pass a filter by what is told of them.

        Raises
        ------
        RequestError
            As :meth:`gnas_serve.runtime.filters.Filters.select`.
        """
        attributes = told_attributes(self.filters.kinds, tuple(self.told.values()))
        return self._only(Filters(attributes, len(self.told)).select(expression).rows.tolist())

    def joined(
        self, rows: _Rows, scores: _Floats, retrieved: _Floats, score: Score, history: npt.NDArray[np.integer]
    ) -> Joined:
        """Put the arrivals among the ranked items.

        A ranker cannot read what it has never seen, so an arrival stands where its retrieval score stands among those
        of the retrieved items: after as many ranked ones as there are retrieved ones that are liked as much or more.

        Parameters
        ----------
        rows, scores : (n,)
            Ranked, best first.
        retrieved : (n,)
            The retrieval scores of the same items, in any order.
        score, history
            As of :meth:`gnas_serve.runtime.content_encoder.Leaning.liked`.
        """
        leans = [lean for lean in self.leans if lean is not None]
        liked = self.encoder.leaning(leans).liked(score, history) if leans else None
        values = np.full(len(self.told), -np.inf, dtype=np.float64)
        if liked is not None:
            values[[place for place, lean in enumerate(self.leans) if lean is not None]] = liked.scores
        every, found = _inserted(rows, scores, np.sort(retrieved)[::-1], values, len(self.items))
        return Joined(self, every, found, liked)

    def lean_of(self, item_id: Id) -> Lean | None:
        """Give what one item leans on, of which alone is told.

        Returns
        -------
        Lean or None
            None where no unseen item is told of.

        Raises
        ------
        NewItemError
            If it is told of another, or nothing that any known item has.
        """
        others = [one for one in self.told if one != self.items.as_id(item_id)]
        if others:
            raise NewItemError(
                f"item_features: {_shown(str(others[0]))} is not the item that is asked about",
                hint="tell of item_id alone",
                code="other_item",
            )
        if not self.leans:
            return None
        if self.leans[0] is None:
            raise NewItemError(
                f"item_features: nothing is told of {_shown(str(item_id))} that any item of the catalogue has",
                hint=f"tell {', '.join(column.name for column in self.encoder.facts.columns)}",
                code="nothing_known",
            )
        return self.leans[0]

    def _others(self, ids: tuple[Id, ...]) -> tuple[Id, ...]:
        return tuple(one for one in ids if self.items.as_id(one) not in self.told)

    def _only(self, places: list[int]) -> Arrivals:
        ids = list(self.told)
        told = {ids[place]: self.told[ids[place]] for place in places}
        return replace(self, told=told, leans=tuple(self.leans[place] for place in places))


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


def _id(one: tuple[str, object]) -> str:
    return one[0]


def _shown(text: str) -> str:
    return repr(plain_text(text[:_MAX_SHOWN]))


def _unknown_attribute(name: str, known: tuple[str, ...]) -> NewItemError:
    named = ", ".join(plain_text(one[:_MAX_SHOWN]) for one in known[:_MAX_NAMED])
    more = f" and {len(known) - _MAX_NAMED} more" if len(known) > _MAX_NAMED else ""
    return NewItemError(
        f"item_features: {_shown(name)} is no attribute of this model's items",
        hint=f"known: {named}{more}",
        code="unknown_attribute",
    )
