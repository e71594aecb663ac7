"""Neighbours: weighted links from each item to some others, which a history passes its score along (two-hop)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve import kernels
from gnas_serve.runtime.topk import top_k

Rows = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]
# Where there are so many times more items than links, sorting the links is cheaper than a total for every item.
_SPARSE = 24


@dataclass(frozen=True, slots=True)
class Links:
    """The items that a history leads to.

    Attributes
    ----------
    rows : (m,) int64
        Ascending.
    scores : (m,) float32
    """

    rows: npt.NDArray[np.int64]
    scores: Floats

    def at(self, rows: Rows) -> Floats:
        """Give the scores of some rows, 0 where no link leads."""
        if len(self.rows) == 0:
            return np.zeros(len(rows), dtype=np.float32)
        if kernels.native is not None:
            found = np.empty(len(rows), dtype=np.float32)
            kernels.native.scores_at(self.rows, self.scores, np.ascontiguousarray(rows, np.int64), found)
            return found
        places = self.rows.searchsorted(rows)
        found = self.scores.take(places, mode="clip")
        found[self.rows.take(places, mode="clip") != rows] = 0.0
        return found

    def best(self, count: int, excluded: Rows) -> npt.NDArray[np.int64]:
        """Give the ``count`` rows of the highest scores, ties by the lower row, without the ascending ``excluded``."""
        scores = self.scores.copy()
        # The excluded are few beside what is linked, so they are looked up here and not the other way round.
        places = self.rows.searchsorted(excluded)
        places, excluded = places[places < len(scores)], excluded[places < len(scores)]
        scores[places[self.rows[places] == excluded]] = -np.inf
        return self.rows[top_k(scores, count)]


class Neighbours:
    """Item-to-item weights as one CSR structure; an item of a history scores the items that it links to.

    Parameters
    ----------
    offsets : (I + 1,) int64
    items : (n,) int32
        The linked items, ascending within each row.
    values : (n,) float32 or float16
        Weights, at least 0.
    history_power
        The sum over a history of n items is divided by ``n ** history_power``.
    """

    __slots__ = ("_opened", "history_power", "items", "offsets", "values")

    def __init__(
        self,
        offsets: npt.NDArray[np.int64],
        items: npt.NDArray[np.int32],
        values: npt.NDArray[np.floating],
        history_power: float,
    ) -> None:
        if offsets[0] != 0 or offsets[-1] != len(items) or len(items) != len(values):
            raise ValueError("offsets, items and values of neighbours do not fit together")
        self.offsets = offsets
        self.items = items
        self.values = values
        self.history_power = history_power
        self._opened: Any = None  # as the compiled kernels read them

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def size_bytes(self) -> int:
        """What the links take."""
        return int(self.offsets.nbytes + self.items.nbytes + self.values.nbytes)

    def lead_anywhere(self, history: Rows) -> bool:
        """Tell whether any item of a history has a link."""
        history = np.asarray(history)
        return bool((self.offsets[history + 1] > self.offsets[history]).any())

    def links(self, history: Rows) -> Links:
        """Follow the links of a history, (h,) distinct item rows."""
        history = np.asarray(history)
        starts, stops = self.offsets[history], self.offsets[history + 1]
        lengths = stops - starts
        if kernels.native is not None:
            if self._opened is None:
                self._opened = kernels.native.open_links(self.offsets, self.items, self.values)
            room = min(int(lengths.sum()), len(self))
            rows, scores = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.float32)
            count = kernels.native.follow(
                self._opened, np.ascontiguousarray(history, np.int64), self._factor(len(history)), rows, scores
            )
            return Links(rows[:count], scores[:count])
        # The places of all links of all items of the history, without a loop over them.
        places = _places(stops, lengths)
        items, values = self.items.take(places), self.values.take(places)
        # Either way the weights of an item are added up in the order of the history: to the same number.
        if len(places) * _SPARSE < len(self):
            found, inverse = np.unique(items, return_inverse=True)
            totals = np.bincount(inverse, weights=values, minlength=len(found))
            rows = found[totals != 0].astype(np.int64)
        else:
            totals = np.bincount(items, weights=values, minlength=len(self))
            # numpy finds the true ten times as fast as the non-zero.
            rows = np.flatnonzero(totals != 0)
        totals = totals[totals != 0]
        return Links(rows, (totals * self._factor(len(history))).astype(np.float32))

    def scores(self, history: Rows) -> Floats:
        """Score every item for one history: (h,) item rows -> (I,) float32, 0 where no link leads."""
        links = self.links(history)
        scores = np.zeros(len(self), dtype=np.float32)
        scores[links.rows] = links.scores
        return scores

    def shares(self, history: Rows, rows: Rows, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Give what each item of a history adds to the weighted sum of the scores of some distinct items, (h,)."""
        history, order = np.asarray(history), np.argsort(rows)
        starts, stops = self.offsets[history], self.offsets[history + 1]
        places = _places(stops, stops - starts)
        found = np.minimum(np.searchsorted(rows[order], self.items.take(places)), len(rows) - 1)
        leads = rows[order[found]] == self.items.take(places)
        owners = np.arange(len(history)).repeat(stops - starts)[leads]
        parts = self.values.take(places[leads]) * weights[order[found[leads]]]
        shares = np.bincount(owners, weights=parts, minlength=len(history))
        return (shares * self._factor(len(history))).astype(np.float64, copy=False)

    def _factor(self, length: int) -> float:
        return float(max(length, 1) ** -self.history_power)


def _places(stops: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """List the places of spans, one span after the other."""
    places: npt.NDArray[np.int64] = (stops - lengths.cumsum()).repeat(lengths)
    places += np.arange(len(places))
    return places
