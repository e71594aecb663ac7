"""Retries: something that failed is tried again after ever longer pauses, and each error told of once."""

from __future__ import annotations

from time import monotonic

FIRST_S = 2.0
_LONGEST_S = 60.0


class Retries:
    """When to try something again that has failed."""

    def __init__(self) -> None:
        self._pause_s = FIRST_S
        self._due = float("-inf")
        self._told = ""

    def are_due(self) -> bool:
        """Tell whether the time has come."""
        return monotonic() >= self._due

    def failed(self, error: Exception) -> bool:
        """Note that it failed, and tell whether that is news: what it said the last time is not."""
        self._due = monotonic() + self._pause_s
        self._pause_s = min(2.0 * self._pause_s, _LONGEST_S)
        before, self._told = self._told, f"{type(error).__name__}: {error}"
        return self._told != before
