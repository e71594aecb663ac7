"""A Prometheus histogram that takes what was counted elsewhere; imported in workers alone, as its library is."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Histogram


class TalliedHistogram(Histogram):
    """A histogram to which many observations are added at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add observations.

        Parameters
        ----------
        counts
            How many fell into each bucket, that of all that is larger last.
        total
            Their sum.
        """
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
