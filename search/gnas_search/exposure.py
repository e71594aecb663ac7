"""Exposure: what all lists together show of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer]
Values = npt.NDArray[np.float64]


def exposure(
    top: Sequence[Rows],
    counts: npt.NDArray[np.integer],
    num_users: int,
    features: npt.NDArray[np.floating] | None,
    k: int,
) -> dict[str, float]:
    """Measure lists without asking what was relevant.

    Parameters
    ----------
    top : n arrays of item rows, best first
        Rows below 0 are left out.
    counts : (I,)
        Interactions of each item in training.
    num_users
        In training.
    features : (I, F), optional
        Attributes of the items, for the diversity.
    k
        How much of each list counts.

    Returns
    -------
    dict
        ``coverage@k``: the share of the catalogue that is in anybody's list. ``gini@k``: how unevenly the places in
        lists are divided among the items, 0 alike to 1. ``novelty@k``: the mean self-information of what is listed,
        ``log2(users / interactions)`` in bits. With features, ``diversity@k``: the mean, over users with two items or
        more, of one minus the cosine of two items of a list. Empty where no list holds anything.

    References
    ----------
    Zhou, T. et al. (2010). Solving the apparent diversity-accuracy dilemma of recommender systems. PNAS 107(10)
    (self-information).
    Ziegler, C. et al. (2005). Improving recommendation lists through topic diversification. WWW (intra-list
    similarity).
    """
    shown = np.concatenate([np.empty(0, np.int64), *_lists(top, k)])
    if len(shown) == 0:
        return {}
    places = np.bincount(shown, minlength=len(counts))
    measured = {
        f"coverage@{k}": float((places > 0).mean()),
        f"gini@{k}": gini(places),
        f"novelty@{k}": float(_information(counts, num_users)[shown].mean()),
    }
    if features is not None and features.shape[1]:
        varied = diversities(top, features, k)
        if np.isfinite(varied).any():
            measured[f"diversity@{k}"] = float(np.nanmean(varied))
    return measured


def novelties(top: Sequence[Rows], counts: npt.NDArray[np.integer], num_users: int, k: int) -> Values:
    """Give the mean self-information of each list, in bits: (n,), NaN for an empty list.

    Parameters and reference as :func:`exposure`, whose mean is over the places of all lists.
    """
    information = _information(counts, num_users)
    return np.array([information[row].mean() if len(row) else np.nan for row in _lists(top, k)], dtype=np.float64)


def diversities(top: Sequence[Rows], features: npt.NDArray[np.floating], k: int) -> Values:
    """Give one minus the mean cosine of two items of each list: (n,), NaN for a list without two items.

    Parameters and reference as :func:`exposure`.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, lengths, out=np.zeros_like(features, dtype=np.float32), where=lengths > 0)
    return np.array([_dissimilarity(unit[row]) if len(row) > 1 else np.nan for row in _lists(top, k)], np.float64)


def gini(amounts: npt.NDArray[np.integer]) -> float:
    """Measure inequality: 0 where all have the same, near 1 where one has everything.

    Parameters
    ----------
    amounts : (n,)
        Not negative, some above 0.
    """
    ascending = np.sort(amounts).astype(np.float64)
    n = len(ascending)
    return float(((2.0 * np.arange(1, n + 1) - n - 1) * ascending).sum() / (n * ascending.sum()))


def _lists(top: Sequence[Rows], k: int) -> list[Rows]:
    return [row[:k][row[:k] >= 0] for row in top]


def _information(counts: npt.NDArray[np.integer], num_users: int) -> Values:
    bits: Values = np.log2(num_users / np.maximum(counts, 1))
    return bits


def _dissimilarity(unit: npt.NDArray[np.floating]) -> float:
    """Give one minus the mean cosine over the pairs of (m, F) unit vectors; of a zero vector it is 0."""
    m = len(unit)
    together = unit.sum(axis=0, dtype=np.float64)
    alone = float(np.square(unit, dtype=np.float64).sum())
    return 1.0 - (float(together @ together) - alone) / (m * (m - 1))
