"""Bootstrap intervals of many metrics of the same users, from one set of resamples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gnas_search.evaluate import Interval, resamples

Values = npt.NDArray[np.float64]


def intervals(
    values: Mapping[str, Values], *, seed: int, confidence: float = 0.95, rounds: int = 1000
) -> dict[str, Interval]:
    """Bootstrap the mean of each metric over the users of whom it says something.

    Parameters
    ----------
    values : (n,) each
        NaN for users of whom a metric says nothing; one that says nothing of anybody is left out of the result.
    seed, confidence, rounds
        As for :func:`gnas_search.evaluate.interval`, which gives the same intervals one by one.
    """
    together: dict[bytes, list[str]] = {}
    for name, each in values.items():
        together.setdefault(np.isfinite(each).tobytes(), []).append(name)
    found: dict[str, Interval] = {}
    for key, names in together.items():
        told = np.frombuffer(key, dtype=np.bool_)
        if told.any():
            matrix = np.stack([values[name][told] for name in names], axis=1)  # (m, metrics)
            found |= dict(zip(names, _intervals(matrix, seed, confidence, rounds), strict=True))
    return {name: found[name] for name in values if name in found}


def _intervals(matrix: Values, seed: int, confidence: float, rounds: int) -> list[Interval]:
    n = len(matrix)
    means = np.array([drawn @ matrix for drawn in resamples(n, seed, rounds)]) / n
    tail = (1.0 - confidence) / 2.0
    lows, highs = np.quantile(means, [tail, 1.0 - tail], axis=0)
    exact = matrix.mean(axis=0)
    return [Interval(float(v), float(a), float(b)) for v, a, b in zip(exact, lows, highs, strict=True)]
