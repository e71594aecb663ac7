"""Pool: which items may be answered to one question, told apart before anything is scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.query import MAX_CANDIDATES
from gnas_serve.runtime.seen import is_among, united

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """What may be answered.

    Attributes
    ----------
    excluded : (e,) ascending item rows
        What may not.
    allowed : (a,) ascending item rows, or None
        What alone may, each scored exactly past the index; None for all that is not excluded.
    """

    excluded: _Rows
    allowed: _Rows | None


def restrict(pool: Pool, expression: str, filters: Filters) -> Pool:
    """Leave in a pool only what passes a filter.

    Few items are listed, and scored one and all: an index finds half of them only. Of many, the others are excluded:
    what an index proposes is as good as ever then.

    Raises
    ------
    RequestError
        If the filter is malformed or asks for attributes that there are not.
    """
    passing = filters.select(expression)
    if pool.allowed is not None:
        return Pool(pool.excluded, pool.allowed[is_among(pool.allowed, passing.rows)])
    if len(passing.rows) <= MAX_CANDIDATES:
        return Pool(pool.excluded, passing.rows)
    return Pool(united(pool.excluded, passing.others), None)
