"""Parity: a graph gives what the network gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_export.retrieval.index import TOP
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]


def relative_difference(found: list[Floats], expected: list[Floats]) -> float:
    """Give the largest difference relative to the largest expected score; infinite where shapes or numbers break.

    Relative to that of its list, or of the usual list where that is larger: the one candidate of a short list may well
    have a score near 0, of which the last digit of float32 is a large part.
    """
    largest = [float(np.abs(scores).max()) for scores in expected if len(scores)]
    usual = max(float(np.median(largest)), 1e-6) if largest else 1.0
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return float("inf")
        if len(b):
            worst = max(worst, float(np.abs(a - b).max()) / max(float(np.abs(b).max()), usual))
    return worst


def mean_overlap(found: list[Floats], expected: list[Floats], k: int = TOP) -> float:
    """Average over the lists the share of the expected first k that is among the found first k.

    Of scores that are no numbers none is.
    """
    shares = []
    for a, b in zip(found, expected, strict=True):
        if not np.isfinite(a).all():
            shares.append(0.0)
            continue
        best = top_k(b, k).tolist()
        shares.append(len({*top_k(a, k).tolist()} & {*best}) / len(best))
    return float(np.mean(shares)) if shares else 1.0


def mean_rank_correlation(found: list[Floats], expected: list[Floats]) -> float:
    """Average Spearman's correlation over the lists; of scores that are no numbers, or all alike, it is 0."""
    of_length: dict[int, list[tuple[Floats, Floats]]] = {}
    for a, b in zip(found, expected, strict=True):
        of_length.setdefault(len(b), []).append((a, b))
    total = 0.0
    # Nearly all lists are of one length: together they take a hundredth of the time.
    for length, pairs in of_length.items():
        total += len(pairs) if length < 2 else float(_rank_correlations(*map(np.stack, zip(*pairs, strict=True))).sum())
    return total / len(expected) if expected else 1.0


def _rank_correlations(found: Floats, expected: Floats) -> npt.NDArray[np.float64]:
    """Give Spearman's correlation of each pair of lists, (n, C) and (n, C) -> (n,)."""
    whole = np.isfinite(found).all(axis=1, keepdims=True)
    one, other = (_ranks(scores) for scores in (np.where(whole, found, 0.0), expected))
    one, other = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, other))
    lengths = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    likeness: npt.NDArray[np.float64] = np.divide(
        (one * other).sum(axis=1), lengths, out=np.zeros(len(one)), where=lengths > 0
    )
    return likeness


def _ranks(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Rank each list, (n, C), the lowest first; what ties shares the mean of its ranks.

    `scipy.stats` can do it, and takes a second to be imported.
    """
    order = np.argsort(scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    edge, places = np.ones((len(scores), 1), dtype=bool), np.arange(scores.shape[1])
    changes = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), places, 0), axis=1)
    last = np.where(np.hstack([changes, edge]), places, places[-1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return ranks
