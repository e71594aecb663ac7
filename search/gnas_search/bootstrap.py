"""Bootstrap intervals over users, which say how sure a figure is; those of many metrics from one set of resamples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from gnas_search.loops import Kernel

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]

_KEPT = 1 << 25  # counts of resampled users (32 MB): what is drawn beyond them is drawn anew


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap confidence interval."""

    value: float
    low: float
    high: float


def interval(values: npt.NDArray[np.floating], seed: int, *, confidence: float = 0.95, rounds: int = 1000) -> Interval:
    """Bootstrap the mean over users (percentile interval).

    Parameters
    ----------
    values : (n,)
        One value per user.
    seed
        Of the resampling: equal seeds give equal intervals.
    confidence
        Within 0..1.
    rounds
        How often the users are resampled.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. The Annals of Statistics 7(1).
    """
    if len(values) == 0:
        raise ValueError("an interval needs at least one value")
    return _of_columns(np.asarray(values, dtype=np.float64)[:, None], seed, confidence, rounds)[0]


def paired_interval(
    a: npt.NDArray[np.floating], b: npt.NDArray[np.floating], seed: int, *, confidence: float = 0.95, rounds: int = 1000
) -> Interval:
    """Bootstrap the mean of ``a - b``, user by user: whether model a beats model b on the same users.

    Raises
    ------
    ValueError
        If the two were not measured on the same number of users.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} users cannot be paired")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return interval(difference, seed, confidence=confidence, rounds=rounds)


def intervals(
    values: Mapping[str, Values], *, seed: int, confidence: float = 0.95, rounds: int = 1000
) -> dict[str, Interval]:
    """Bootstrap the mean of each metric over the users of whom it says something.

    Parameters
    ----------
    values : (n,) each
        NaN for users of whom a metric says nothing; one that says nothing of anybody is left out of the result.
    seed, confidence, rounds
        As for :func:`interval`, which gives the same intervals one by one.
    """
    matrix = np.array(list(values.values()))  # (metrics, n)
    if matrix.size and np.isfinite(matrix.sum()):  # as for most: what follows takes longer than the resampling
        return dict(zip(values, _of_columns(matrix.T, seed, confidence, rounds), strict=True))
    together: dict[bytes, list[str]] = {}
    for name, each in values.items():
        together.setdefault(np.isfinite(each).tobytes(), []).append(name)
    found: dict[str, Interval] = {}
    for key, names in together.items():
        told = np.frombuffer(key, dtype=np.bool_)
        if told.any():
            matrix = np.stack([values[name][told] for name in names], axis=1)  # (m, metrics)
            found |= dict(zip(names, _of_columns(matrix, seed, confidence, rounds), strict=True))
    return {name: found[name] for name in values if name in found}


def _of_columns(columns: Values, seed: int, confidence: float, rounds: int) -> list[Interval]:
    """Bootstrap the means of columns (n, m) over the same users, in one pass."""
    means = columns.mean(axis=0)
    # What lies about the mean, in single precision: relative to the interval's width, its rounding is a ten-millionth.
    apart = np.ascontiguousarray((columns - means).T, dtype=np.float32)  # (m, n)
    sums = np.empty((rounds, len(apart)), dtype=np.float32)
    first = 0
    for counts in resamples(len(columns), seed, rounds):
        _add_up(counts.size * len(apart), counts, apart, sums[first : first + len(counts)])
        first += len(counts)
    tail, found = (1.0 - confidence) / 2.0, []
    least_of, most_of = columns.min(axis=0).tolist(), columns.max(axis=0).tolist()
    ordered_of = np.sort(sums.T, axis=1)
    for mean, least, most, ordered in zip(means.tolist(), least_of, most_of, ordered_of, strict=True):
        low, high = (mean + _quantile(ordered, share) / len(columns) for share in (tail, 1.0 - tail))
        found.append(Interval(mean, min(max(low, least), most), min(max(high, least), most)))
    return found


def _quantile(ordered: Singles, share: float) -> float:
    """Interpolate between sorted values as np.quantile does, whose checks take as long as the resampling."""
    place = share * (len(ordered) - 1)
    before = math.floor(place)
    after = min(before + 1, len(ordered) - 1)
    return (1.0 - (place - before)) * float(ordered[before]) + (place - before) * float(ordered[after])


@Kernel
def _add_up(counts: Counts, apart: Singles, out: Singles) -> None:
    """Write ``out[r, c] = sum_i counts[r, i] * apart[c, i]``: (k, n), (m, n) -> (k, m).

    With counts of a byte: as a product of float32 matrices it took four times as long, for their memory.
    """
    for row in numba.prange(counts.shape[0]):
        for column in range(apart.shape[0]):
            total = np.float32(0.0)
            for each in range(counts.shape[1]):
                total += np.float32(counts[row, each]) * apart[column, each]
            out[row, column] = total


def resamples(n: int, seed: int, rounds: int) -> Iterable[Counts]:
    """Give how often each of n users is drawn, (k, n) for some rounds at a time.

    A study measures every model on the same users with the same seed: to draw them anew for each took a tenth of the
    time of small data's trials.

    Parameters
    ----------
    n, seed, rounds
        As for :func:`interval`.
    """
    return (_kept_resamples(n, seed, rounds),) if n * rounds <= _KEPT else _drawn(n, seed, rounds)


@lru_cache(maxsize=2)
def _kept_resamples(n: int, seed: int, rounds: int) -> Counts:
    return np.concatenate(list(_drawn(n, seed, rounds)))


def _drawn(n: int, seed: int, rounds: int) -> Iterable[Counts]:
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        # Who is drawn once on average is drawn 256 times in no resample that there will ever be.
        yield np.bincount(rng.integers(0, n, n, dtype=np.int32), minlength=n).astype(np.uint8)[None, :]
