"""Measure how long things take, side by side so that a busy moment hurts all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

_WARM_UP = 10


def median_us(work: Mapping[str, Callable[[int], object]], *, rounds: int) -> dict[str, float]:
    """Time several ways of doing one thing, in turns, on one thread as a worker has it.

    With more, BLAS and OpenMP threads fight over the cores and a matrix-vector product takes ten times as long.

    Parameters
    ----------
    work
        Name -> what to do in the n-th round.
    rounds
        How often each is timed.

    Returns
    -------
    dict
        Name -> median microseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    with threadpool_limits(1):
        for turn in range(rounds + _WARM_UP):
            for name, run in work.items():
                start = time.perf_counter()
                run(turn)
                if turn >= _WARM_UP:
                    times[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) * 1e6 for name, taken in times.items()}
