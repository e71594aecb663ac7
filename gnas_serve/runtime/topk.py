"""The one selection of the best k, used by evaluation, export and serving alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve import kernels

_POSITION = np.int64(0xFFFFFFFF)
_MAGNITUDE = np.int32(0x7FFFFFFF)
# Up to so many times k, sorting all is quicker than finding first what there is to sort.
_SORTED_WHOLE = 4
# Up to so many, a stable sort, by insertion, is as quick as anything.
_FEW = 64
_PLACES = np.arange(4096)


def top_k(scores: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int64]:
    """Select the positions of the k highest scores, best first.

    Ties are broken by the lower position, always, so that equal models give equal lists whatever
    path computed the scores. Positions at ``-inf`` are never selected: the result may be shorter than k.

    Parameters
    ----------
    scores : (n,)
        Without NaN.
    k
        At least 1.

    Returns
    -------
    (min(k, n finite),) int64
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    n = len(scores)
    if kernels.native is not None and scores.dtype == np.float32:
        positions = np.empty(min(k, n), dtype=np.int64)
        found = kernels.native.best(np.ascontiguousarray(scores), k, positions)
        return positions if found == len(positions) else positions[:found]
    if n <= _SORTED_WHOLE * k:
        order = _best_first(scores)[:k]
        # What is never selected stands at the end.
        return order if len(order) == 0 or scores[order[-1]] > -np.inf else order[scores[order] > -np.inf]
    # np.partition on values is vectorised and several times faster than argpartition,
    # and the threshold it yields makes the tie rule exact.
    threshold = np.partition(scores, n - k)[n - k]
    chosen = (scores >= threshold).nonzero()[0]
    if len(chosen) > k or threshold == -np.inf:
        chosen = _cut(scores, threshold, k)
    best: npt.NDArray[np.int64] = chosen[_best_first(scores[chosen])]
    return best


def _cut(scores: npt.NDArray[np.floating], threshold: np.floating, k: int) -> npt.NDArray[np.int64]:
    """Take what is above a threshold and, of what is at it, the first: k positions, ascending."""
    chosen = np.flatnonzero(scores > threshold)
    if threshold != -np.inf:
        level = np.flatnonzero(scores == threshold)[: k - len(chosen)]
        chosen = np.concatenate([chosen, level])
        chosen.sort()
    return chosen


def _best_first(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Order all positions by falling score, ties by the lower position.

    numpy sorts numbers by vector instructions, and neither positions nor a stable order: at 600 scores this takes half
    of the time. So each score, as an integer of the same order, and its position are sorted as one number.
    """
    if scores.dtype != np.float32 or len(scores) <= _FEW:
        order: npt.NDArray[np.int64] = (-scores).argsort(kind="stable")
        return order
    bits = (np.float32(0.0) - scores).view(np.int32)  # of -0.0 and 0.0 it makes one
    bits ^= (bits >> 31) & _MAGNITUDE  # of negative floats larger bits are smaller numbers
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= _PLACES[: len(scores)] if len(scores) <= len(_PLACES) else np.arange(len(scores))
    keys.sort()
    keys &= _POSITION
    return keys
