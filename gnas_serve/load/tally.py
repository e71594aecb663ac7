"""Tally: what became of every request, in a few bytes each."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gnas_serve.load.lane import TIMEOUT, UNSENT, Reply

SAMPLED = 500
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass
class Tally:
    """Counts the requests whose start, or whose intended start, is in the window; times are ``time.perf_counter()``.

    Attributes
    ----------
    begin
        Where the window begins: what was to start before it is warm-up.
    statuses
        Counted requests by the status of their reply.
    sample
        Of the first counted answers: which question it was, and the answer as it came. Users are drawn independently
        of each other, so the first are as good a sample as any.
    finished
        Replies of all kinds since the window began, those to requests of the warm-up included.
    last
        When the last counted reply came.
    """

    begin: float
    statuses: Counter[str] = field(default_factory=Counter)
    sample: list[tuple[int, bytes]] = field(default_factory=list)
    finished: int = 0
    last: float = 0.0
    _latencies_s: array[float] = field(default_factory=lambda: array("d"))
    _lags_s: array[float] = field(default_factory=lambda: array("d"))

    @property
    def counted(self) -> int:
        """How many requests are counted."""
        return self.statuses.total()

    @property
    def answered(self) -> int:
        """How many of them were answered."""
        return len(self._latencies_s) - self.statuses[TIMEOUT] - self.statuses[UNSENT]

    def add(self, start: float, end: float, question: int, reply: Reply) -> None:
        """Take a reply, or what stands for one.

        Parameters
        ----------
        start
            When the request was to start.
        end
            When its reply was there.
        question
            Which question it was.
        """
        if end >= self.begin:
            self.finished += 1
        if start < self.begin:
            return
        self.statuses[reply.status] += 1
        self.last = max(self.last, end)
        # Who waited in vain waited at least so long. A refusal is quick, and would flatter: it is an error and no more.
        if reply.is_answer or reply.status in {TIMEOUT, UNSENT}:
            self._latencies_s.append(end - start)
        if reply.is_answer and len(self.sample) < SAMPLED:
            self.sample.append((question, reply.body))

    def lagged(self, start: float, seconds: float) -> None:
        """Take how late the client itself was to send what was to start then."""
        if start >= self.begin:
            self._lags_s.append(seconds)

    def latencies_us(self) -> npt.NDArray[np.float64]:
        """Give the latencies of answers and of what was waited for in vain, in microseconds."""
        return np.frombuffer(self._latencies_s, dtype=np.float64) * 1e6

    def lag_p99_us(self) -> float | None:
        """Give the 99th percentile of the client's own lateness; None of a closed loop, which is never late."""
        return percentile(np.frombuffer(self._lags_s, dtype=np.float64) * 1e6, 99.0)


def percentile(values: npt.NDArray[np.float64], percent: float) -> float | None:
    """Give the smallest value that at least ``percent`` of the values do not exceed; None of no values.

    One that was measured, not one between two: between a stall and the rest lies nothing that anybody waited.
    """
    return float(np.percentile(values, percent, method="inverted_cdf")) if len(values) else None
