"""Which items each user has already: excluded from answers, and the history that features are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def is_among(rows: npt.NDArray[np.integer], excluded: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Tell which rows are among the ascending excluded ones, (m,).

    A binary search: ``np.isin`` costs three times as much at this size.
    """
    if len(excluded) == 0:
        return np.zeros(len(rows), dtype=np.bool_)
    places = np.minimum(np.searchsorted(excluded, rows), len(excluded) - 1)
    found: npt.NDArray[np.bool_] = excluded[places] == rows
    return found


class SeenItems:
    """Item rows per user row, as one CSR structure.

    Parameters
    ----------
    offsets : (U + 1,) int64
    items : (n,) int32
        Item rows, ascending within each user.
    """

    __slots__ = ("items", "offsets")

    def __init__(self, offsets: npt.NDArray[np.int64], items: npt.NDArray[np.int32]) -> None:
        if offsets[0] != 0 or offsets[-1] != len(items):
            raise ValueError("offsets do not span the items")
        self.offsets = offsets
        self.items = items

    def of(self, user_row: int) -> npt.NDArray[np.int32]:
        """Give the items of one user; none for row -1."""
        if user_row < 0:
            return self.items[:0]
        return self.items[self.offsets[user_row] : self.offsets[user_row + 1]]
