"""The content encoder: an item that the catalogue does not have leans on the known items that it is like.

Its score for somebody is the mean of theirs, weighted by how alike they are: whatever a model is made of, vectors,
links or popularity, it needs nothing but the scores that it gives to items that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.content_facts import ContentColumn, ContentFacts
from gnas_serve.artifact.kinds import NUMBER, TEXT
from gnas_serve.runtime.content_table import ContentTable, soft_places, words_of
from gnas_serve.runtime.kept import Kept, digest_of
from gnas_serve.runtime.seen import is_among
from gnas_serve.runtime.told_values import TypedValue
from gnas_serve.runtime.topk import top_k
from gnas_serve.vocabulary import Id, Vocabulary

MAX_TERMS = 64
"""Of one item, those that weigh most: so much, and no more, one long text can cost."""
MAX_POSTINGS = 1 << 18
"""Of all terms of one item together, the rarest first: so many items that have one are looked at."""
_MOST_REFERENCES = 256
_MOST_KEPT = 2048  # of what items lean on: many questions tell of the same ones
_SPARSE = 16  # where there are so many times more items than have a term, sorting these is quicker than a total of all

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
Score = Callable[[_Rows], npt.NDArray[np.floating]]
_Terms = tuple[npt.NDArray[np.int64], _Floats]


@dataclass(frozen=True, slots=True)
class Lean:
    """The known items that one item is like.

    Attributes
    ----------
    rows : (m,) int64
        At least one, the likest first.
    weights : (m,) float64
        Above 0; with ``rest`` they add up to 1.
    rest
        The weight of an item of average liking.
    """

    rows: _Rows
    weights: _Floats
    rest: float


class Leaning:
    """n items that are scored together, by the known items that each leans on.

    Parameters
    ----------
    leans
        Of each, at least one.
    references
        Rows of items by which an asker's average and spread are told.
    own
        As in :class:`gnas_serve.artifact.content_facts.ContentFacts`.
    """

    def __init__(self, leans: Sequence[Lean], references: _Rows, own: float) -> None:
        self._leans = leans
        self._references = references
        self._own = own
        self._starts = np.cumsum([0, *(len(lean.rows) for lean in leans)])[:-1]
        self._weights = np.concatenate([lean.weights for lean in leans])
        self._rests = np.array([lean.rest for lean in leans])
        # Each once: many items lean on the same.
        self._rows, self._places = np.unique(np.concatenate([lean.rows for lean in leans]), return_inverse=True)

    def liked(self, score: Score, history: npt.NDArray[np.integer]) -> Liked:
        """Score the items for somebody.

        Parameters
        ----------
        score
            Gives the asker's scores of some rows.
        history : (h,) ascending item rows
            What the asker has.
        """
        average = np.asarray(score(self._references), dtype=np.float64)
        mean, more = float(average.mean()), self._own * float(average.std())
        found = np.asarray(score(self._rows), dtype=np.float64)
        if more > 0:
            found += more * is_among(self._rows, history)
        shares = self._weights * found[self._places]
        sums = np.add.reduceat(shares, self._starts) + self._rests * mean
        return Liked(sums.astype(np.float32), shares, self._starts, self._rests * mean, more)


@dataclass(frozen=True, slots=True)
class Liked:
    """What n items are worth to somebody.

    Attributes
    ----------
    scores : (n,) float32
    shares : (N,) float64
        What each item that one leans on adds, those of the first before those of the second.
    starts : (n,) int64
        Where the shares of each begin.
    rests : (n,) float64
        What that of average liking adds.
    own
        By so much an item that somebody has counts as liked more than the model says.
    """

    scores: npt.NDArray[np.float32]
    shares: _Floats
    starts: _Rows
    rests: _Floats
    own: float

    def shares_of(self, place: int) -> _Floats:
        """Give what adds up, with its rest, to the score of one item."""
        return np.split(self.shares, self.starts[1:])[place]


class ContentEncoder:
    """Finds what an item is like by its attributes, and what it is worth to somebody by that.

    Parameters
    ----------
    facts
        What the manifest says.
    table
        Of the known items.
    counts : (I,) int32
        Interactions per item.

    Raises
    ------
    ValueError
        If the table is not of these facts.
    """

    def __init__(self, facts: ContentFacts, table: ContentTable, counts: npt.NDArray[np.int32]) -> None:
        self.facts = facts
        self._table = table
        self._num_items = len(counts)
        words = table.words(facts)
        firsts = np.cumsum([0, *(column.num_terms for column in facts.columns)]).tolist()
        # By a dict: to find a word among the sorted ones takes fifty times as long, and a text has hundreds.
        self._finders = [
            (column, first, _places(words.get(column.name)))
            for column, first in zip(facts.columns, firsts, strict=False)
        ]
        known = np.flatnonzero(counts > 0)
        picked = np.linspace(0, max(len(known) - 1, 0), min(len(known), _MOST_REFERENCES)).astype(np.int64)
        self._references: _Rows = known[picked].astype(np.int64)
        self._kept: Kept[tuple[Lean | None]] = Kept(_MOST_KEPT)

    def lean(self, told: Mapping[str, TypedValue]) -> Lean | None:
        """Find the known items that are like one.

        Parameters
        ----------
        told
            Its attributes, each value of the kind of its attribute. Values that no known item has are passed over, and
            names that the encoder does not read.

        Returns
        -------
        Lean or None
            None where nothing is told that any known item has.
        """
        values = [told.get(column.name) for column in self.facts.columns]
        key = digest_of(values)
        found = self._kept.get(key)
        if found is None:
            found = (self._lean(values),)
            self._kept.put(key, found)
        return found[0]

    def _lean(self, told: Sequence[TypedValue]) -> Lean | None:
        terms, weights = self._query(told)
        if not len(terms):
            return None
        rows, cosines = self._cosines(terms, weights)
        best = top_k(cosines.astype(np.float32), self.facts.neighbours)
        shares = cosines[best] ** self.facts.power
        total = float(shares.sum()) + self.facts.prior
        if not (len(best) and total > 0):  # numbers of a table may vanish in their products
            return None
        return Lean(rows[best], shares / total, self.facts.prior / total)

    def _cosines(self, terms: _Rows, weights: _Floats) -> tuple[_Rows, _Floats]:
        """Give the ascending rows of the items that have any of some terms, and their cosines."""
        table = self._table
        spans = [_span(int(table.offsets[term]), int(table.offsets[term + 1])) for term in terms.tolist()]
        items = np.concatenate([table.items[span] for span in spans])
        parts = np.concatenate(
            [weight * table.values[span] for weight, span in zip(weights.tolist(), spans, strict=True)]
        )
        if len(items) * _SPARSE < self._num_items:
            rows, places = np.unique(items, return_inverse=True)
            return rows.astype(np.int64), np.bincount(places, weights=parts).astype(np.float64, copy=False)
        cosines = np.bincount(items, weights=parts, minlength=self._num_items).astype(np.float64, copy=False)
        rows = np.flatnonzero(cosines)
        return rows, cosines[rows]

    def leaning(self, leans: Sequence[Lean]) -> Leaning:
        """Put some items together, at least one, which are scored at once."""
        return Leaning(leans, self._references, self.facts.own)

    def _query(self, told: Sequence[TypedValue]) -> _Terms:
        """Make the vector of an item's terms, of unit length; none where nothing is known of it."""
        terms, weights = [], []
        for (column, first, words), value in zip(self._finders, told, strict=True):
            places, shares = _found(column, words, value)
            parts = shares * self._table.rarity[first + places]
            places, parts = places[parts > 0], parts[parts > 0]
            if len(places):
                terms.append(first + places)
                weights.append(parts * (column.weight / np.linalg.norm(parts)))
        if not terms:
            return np.empty(0, dtype=np.int64), np.empty(0)
        found, parts = np.concatenate(terms), np.concatenate(weights)
        if len(found) > MAX_TERMS:
            kept = np.sort(np.argsort(-parts, kind="stable")[:MAX_TERMS])
            found, parts = found[kept], parts[kept]
        kept = self._affordable(found)
        found, parts = found[kept], parts[kept]
        return found, parts / np.linalg.norm(parts)

    def _affordable(self, terms: _Rows) -> _Rows:
        """Give the ascending places of the rarest terms that few enough items have together; of one term at least."""
        counts = self._table.offsets[terms + 1] - self._table.offsets[terms]
        if counts.sum() <= MAX_POSTINGS:
            return np.arange(len(terms))
        order = np.argsort(counts, kind="stable")
        fitting = int(np.searchsorted(np.cumsum(counts[order]), MAX_POSTINGS, side="right"))
        return np.sort(order[: max(fitting, 1)])


def _span(start: int, end: int) -> slice:
    """Give the items of one term, or where even these are too many, some that are spread evenly among them."""
    return slice(start, end, max(1, -(-(end - start) // MAX_POSTINGS)))


def _places(words: Vocabulary | None) -> dict[Id, int]:
    return {} if words is None else dict(zip(words.ids(range(len(words))), range(len(words)), strict=True))


def _found(column: ContentColumn, words: Mapping[Id, int], value: TypedValue) -> _Terms:
    """Find the terms of one attribute that an item has, and how much of each."""
    if value is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    if column.kind == NUMBER:
        lower, share = soft_places(np.array([value], dtype=np.float64), column.knots)
        return np.concatenate([lower, lower + 1]), np.concatenate([1.0 - share, share])
    wanted = words_of(str(value)) if column.kind == TEXT else terms_of(value if isinstance(value, tuple) else ())
    rows = np.array([words[word] for word in wanted if word in words], dtype=np.int64)
    return rows, np.ones(len(rows))


def terms_of(texts: Sequence[str]) -> list[str]:
    """Give the distinct texts of a list as terms, in their order, whatever their case."""
    return list(dict.fromkeys(text.strip().casefold() for text in texts))
