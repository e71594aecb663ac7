"""Rates: how many requests a caller may make, by a token bucket per caller."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from gnas_serve.service.errors import RateLimitedError

MOST_CALLERS = 10_000


class Rates:
    """Holds each caller to a rate; of one worker, as its processes share nothing.

    Parameters
    ----------
    per_s
        Requests per second; 0 for no limit.
    burst
        How many may come at once after a pause.
    clock
        Seconds that only go forward.

    Notes
    -----
    The latest :data:`MOST_CALLERS` callers are known. One that was forgotten begins with a full bucket.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(max(burst, 1))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> tokens left, when

    @property
    def are_limited(self) -> bool:
        """Whether there is a limit: else it does not matter who calls."""
        return self._per_s > 0

    def take(self, caller: str) -> None:
        """Count a request of a caller.

        Raises
        ------
        RateLimitedError
            If it is one too many; says after how many seconds the next may come.
        """
        if not self.are_limited:
            return
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_s)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = math.ceil((1.0 - left) / self._per_s)
            raise RateLimitedError(
                f"more than {self._per_s:g} requests per second", hint="ask less often", wait_s=wait_s
            )
