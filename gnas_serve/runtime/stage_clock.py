"""A clock for the stages of one question; most questions are answered without one."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

STAGES = ("represent", "filter", "retrieve", "rank", "rerank", "explain")
"""In the order of the request path; a question passes those that it needs."""


class StageClock:
    """Keeps when each stage of a question ended; the first began when the clock was made."""

    __slots__ = ("_began", "_ends")

    def __init__(self) -> None:
        self._ends: list[tuple[str, float]] = []
        self._began = perf_counter()

    def end(self, stage: str) -> None:
        """Take note that a stage of :data:`STAGES` is over, and the next one begins."""
        self._ends.append((stage, perf_counter()))

    def spans(self) -> Iterator[tuple[str, float, float]]:
        """Give each stage with its beginning and end, in seconds of ``time.perf_counter``."""
        began = self._began
        for stage, ended in self._ends:
            yield stage, began, ended
            began = ended
