"""Parity: a graph gives what the network gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    """Average over the lists the share of the expected first k that is among the found first k."""
    shares = []
    for a, b in zip(found, expected, strict=True):
        best = top_k(b, k)
        shares.append(len(np.intersect1d(top_k(a, k), best)) / len(best))
    return float(np.mean(shares)) if shares else 1.0
