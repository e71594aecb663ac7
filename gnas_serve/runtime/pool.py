"""Pool: what may be answered to one question, told apart before anything is scored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.lookup import NOTHING, Who, known_rows
from gnas_serve.runtime.query import MAX_CANDIDATES, Query
from gnas_serve.runtime.seen import is_among, united
from gnas_serve.runtime.unseen_items import UnseenItems
from gnas_serve.vocabulary import Vocabulary

_Rows = npt.NDArray[np.int64]


class Pool(NamedTuple):
    """What may be answered.

    Attributes
    ----------
    excluded : (e,) ascending item rows
        What may not.
    allowed : (a,) ascending item rows, or None
        What alone may, each scored exactly past the index; None for all that is not excluded.
    unseen
        What may that the catalogue does not have; None where a question tells of nothing.
    unknown_items
        How many ids of the lists that this is made of the model does not know.
    """

    excluded: _Rows
    allowed: _Rows | None
    unseen: UnseenItems | None
    unknown_items: int

    @classmethod
    def of(cls, query: Query, who: Who, items: Vocabulary, unseen: UnseenItems | None) -> Pool:
        """Make the pool of a question: all, or the candidates, but what the asker has and what is not wanted.

        Raises
        ------
        ItemNotFoundError
            If an item that a strict question names is unknown.
        """
        excluded = (who.past if query.exclude_seen else who.past[:0]).astype(np.int64)
        if len(who.history):
            excluded = united(excluded, who.history)
        unknown = 0
        if query.exclude_items:
            unwanted, unknown = known_rows(items, query.exclude_items, strict=query.strict)
            excluded = united(excluded, unwanted)
        if query.candidates is None:
            return cls(excluded, None, unseen, unknown)
        allowed, more = known_rows(items, query.candidates, strict=query.strict)
        return cls(excluded, allowed, unseen, unknown + more)

    @classmethod
    def of_candidates(cls, query: Query, items: Vocabulary, unseen: UnseenItems | None) -> Pool:
        """Make the pool of all candidates of a question, those that the asker has, too.

        Raises
        ------
        ItemNotFoundError
            As :meth:`of`.
        """
        rows, unknown = known_rows(items, query.candidates or (), strict=query.strict)
        return cls(NOTHING, rows, unseen, unknown)

    def passing(self, expression: str, filters: Filters) -> Pool:
        """Leave only what passes a filter.

        Few items are listed, and scored one and all: an index finds half of them only. Of many, the others are
        excluded: what an index proposes is as good as ever then.

        Raises
        ------
        RequestError
            If the filter is malformed or asks for attributes that there are not.
        """
        passing = filters.select(expression)
        unseen = None if self.unseen is None else self.unseen.passing(expression)
        if self.allowed is not None:
            return self._replace(allowed=self.allowed[is_among(self.allowed, passing.rows)], unseen=unseen)
        if len(passing.rows) <= MAX_CANDIDATES:
            return self._replace(allowed=passing.rows, unseen=unseen)
        return self._replace(excluded=united(self.excluded, passing.others), unseen=unseen)
