"""Coverage: how much of the catalogue the latest answers showed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WINDOW = 10_000
"""Answers that count."""
_FAR = 2**31  # numbers of answers are held in 32 bits


class Coverage:
    """The share of a catalogue that stood in one of the latest answers, exactly.

    It takes four bytes per item; an answer costs one write for each of its items, whatever the window.

    Parameters
    ----------
    num_items
        In the catalogue.
    window
        How many of the latest answers count.
    """

    def __init__(self, num_items: int, window: int = WINDOW) -> None:
        self.num_items = num_items
        self._latest = np.zeros(num_items, dtype=np.uint32)  # the number of the answer that showed the item last
        self._window = window
        self._answers = 0

    def add(self, rows: npt.NDArray[np.int64]) -> int:
        """Take note of the items of one answer.

        Returns
        -------
        int
            How many answers there were.
        """
        self._answers += 1
        self._latest[rows] = self._answers
        return self._answers

    def ratio(self) -> float:
        """Give the share, 0 to 1; it looks at every item, in some .1 ms per million."""
        if self._answers >= _FAR:
            before = self._answers - self._window
            self._latest = np.where(self._latest > before, self._latest - np.uint32(before), np.uint32(0))
            self._answers = self._window
        return float(np.count_nonzero(self._latest > max(self._answers - self._window, 0)) / len(self._latest))
