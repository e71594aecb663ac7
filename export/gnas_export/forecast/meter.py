"""Meter: seconds and the peak of memory of a piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gnas_search.memory import peak_bytes, restart_peak

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Reading:
    """What a piece of work took: seconds, and the most memory of the process meanwhile."""

    seconds: float
    peak_bytes: int


def metered(work: Callable[[], _Made]) -> tuple[_Made, Reading]:
    """Do some work and say what it took."""
    restart_peak()
    start = time.perf_counter()
    made = work()
    return made, Reading(time.perf_counter() - start, peak_bytes())


def seconds_of(work: Callable[[], object], *, repeats: int = 1) -> float:
    """Time some work, the mean of several times; more than once, one more before them is to warm up."""
    if repeats > 1:
        work()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats
