"""Parity: a graph gives what the network gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]


def relative_difference(found: list[Floats], expected: list[Floats]) -> float:
    """Give the largest difference relative to the largest expected score; infinite where shapes or numbers break."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return float("inf")
        if len(b):
            worst = max(worst, float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1e-6))
    return worst


def mean_overlap(found: list[Floats], expected: list[Floats], k: int = 20) -> float:
    """Average over the lists the share of the expected first k that is among the found first k.

    Of scores that are no numbers none is.
    """
    shares = []
    for a, b in zip(found, expected, strict=True):
        if not np.isfinite(a).all():
            shares.append(0.0)
            continue
        best = top_k(b, k)
        shares.append(len(np.intersect1d(top_k(a, k), best)) / len(best))
    return float(np.mean(shares)) if shares else 1.0


def mean_rank_correlation(found: list[Floats], expected: list[Floats]) -> float:
    """Average Spearman's correlation over the lists; of scores that are no numbers, or all alike, it is 0."""
    correlations = []
    for a, b in zip(found, expected, strict=True):
        if len(b) < 2 or not np.isfinite(a).all() or np.ptp(a) == 0 or np.ptp(b) == 0:
            correlations.append(1.0 if len(b) < 2 else 0.0)
        else:
            correlations.append(float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
    return float(np.mean(correlations)) if correlations else 1.0
