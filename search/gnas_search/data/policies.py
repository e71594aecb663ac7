"""Split policies: which interaction of a user is train, validation or test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gnas_search.data.columns import TEST, TRAIN, VALID

HELD_OUT_SHARE = 0.1
LEAST_TO_SPLIT = 3
"""Users with fewer interactions stay in train: one each for train, validation and test is the least."""

Counts = npt.NDArray[np.int64]


def temporal(users: npt.NDArray[np.int64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Hold out the last tenth of each user for test and the tenth before it for validation.

    Parameters
    ----------
    users : (n,)
        User row of each interaction, in the order that settles ties.
    times : (n,)

    Returns
    -------
    (n,) int8
    """
    return _hold_out(users, times, _tenth, with_test=True)


def leave_last_out(users: npt.NDArray[np.int64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Hold out the last interaction of each user for test and the last but one for validation.

    Parameters and result as :func:`temporal`.
    """
    return _hold_out(users, times, _one, with_test=True)


def random(users: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int8]:
    """Hold out a tenth of each user for test and a tenth for validation, drawn by seed.

    Parameters
    ----------
    users : (n,)
        User row of each interaction; equal input gives an equal split.
    seed

    Returns
    -------
    (n,) int8
    """
    return _hold_out(users, np.random.default_rng(seed).random(len(users)), _tenth, with_test=True)


def carve_validation(
    users: npt.NDArray[np.int64], times: npt.NDArray[np.float64] | None, seed: int
) -> npt.NDArray[np.int8]:
    """Take a tenth of each user's given train part for validation: the last where there are times, else by seed.

    Parameters
    ----------
    users : (n,)
        User row of each train interaction.
    times : (n,) or None
    seed

    Returns
    -------
    (n,) int8
        Without test.
    """
    order = np.random.default_rng(seed).random(len(users)) if times is None else times
    return _hold_out(users, order, _tenth, with_test=False)


def _tenth(counts: Counts) -> Counts:
    tenth: Counts = np.maximum(1, np.floor(counts * HELD_OUT_SHARE + 0.5).astype(np.int64))
    return tenth


def _one(counts: Counts) -> Counts:
    return np.ones_like(counts)


def _hold_out(
    users: npt.NDArray[np.int64],
    order: npt.NDArray[np.float64],
    share: Callable[[Counts], Counts],
    *,
    with_test: bool,
) -> npt.NDArray[np.int8]:
    if not len(users):
        return np.zeros(0, dtype=np.int8)
    sequence = np.lexsort((order, users))  # stable: ties keep the order of the input
    counts = np.bincount(users)
    ends = np.cumsum(counts)
    places_from_end = ends[users[sequence]] - 1 - np.arange(len(users))
    held = np.where(counts >= LEAST_TO_SPLIT, share(counts), 0)[users[sequence]]
    test_places = held if with_test else np.zeros_like(held)
    parts = np.empty(len(users), dtype=np.int8)
    parts[sequence] = np.where(
        places_from_end < test_places, TEST, np.where(places_from_end < test_places + held, VALID, TRAIN)
    )
    return parts
