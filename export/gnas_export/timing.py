"""Measure how long things take, side by side so that a busy moment hurts all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

_IN_A_ROW = 20
_WARM_UP = 2


def median_us(work: Mapping[str, Callable[[int], object]], *, rounds: int) -> dict[str, float]:
    """Time several ways of doing one thing, in turns of some calls, on one thread as a worker has it.

    A worker asks one artifact again and again: its tables and graph are in the caches, which the first calls of each
    turn bring there. Calls of different ways in alternation would time how these displace each other. With more
    threads, those of BLAS and OpenMP fight over the cores, and a matrix-vector product takes ten times as long.

    Parameters
    ----------
    work
        Name -> what to do in the n-th round.
    rounds
        How often each is timed, at least.

    Returns
    -------
    dict
        Name -> median microseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    with threadpool_limits(1):
        for first in range(0, rounds, _IN_A_ROW):
            for name, run in work.items():
                for turn in range(first - _WARM_UP, first + _IN_A_ROW):
                    start = time.perf_counter()
                    run(max(turn, 0))
                    if turn >= first:
                        times[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) * 1e6 for name, taken in times.items()}
