"""The stages of an answer: a generator that gives each stage's name once it is over, and the answer at its end.

So several questions can take each stage together, and one that is to be timed is timed from outside.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from time import perf_counter
from typing import TypeVar

from gnas_serve.runtime.query import Answer

STAGES = ("represent", "filter", "retrieve", "rank", "rerank", "explain")
"""In the order of the request path; a question passes those that it needs."""

_Found = TypeVar("_Found")

Staged = Generator[str, None, _Found]
"""What finds something stage by stage."""


def found_by(staged: Staged[_Found]) -> _Found:
    """Take all stages, one after the other."""
    while True:
        try:
            next(staged)
        except StopIteration as end:
            found: _Found = end.value
            return found


class StageClock:
    """Keeps when each stage of a question began and ended: between two of them others may have theirs."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[tuple[str, float, float]] = []

    def timed(self, staged: Staged[Answer]) -> Staged[Answer]:
        """Take the stages of a question, and note of each of :data:`STAGES` how long it took."""
        while True:
            began = perf_counter()
            try:
                stage = next(staged)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            self._spans.append((stage, began, perf_counter()))
            yield stage

    def spans(self) -> Iterator[tuple[str, float, float]]:
        """Give each stage with its beginning and end, in seconds of ``time.perf_counter``."""
        return iter(self._spans)
