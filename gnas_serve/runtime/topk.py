"""The one selection of the best k, used by evaluation, export and serving alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


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
    if k < n:
        # np.partition on values is vectorised and several times faster than argpartition,
        # and the threshold it yields makes the tie rule exact.
        threshold = np.partition(scores, n - k)[n - k]
        above = np.flatnonzero(scores > threshold)
        chosen = above
        if threshold != -np.inf:
            level = np.flatnonzero(scores == threshold)[: k - len(above)]
            chosen = np.concatenate([above, level])
            chosen.sort()
    else:
        chosen = np.flatnonzero(scores > -np.inf)
    order = np.argsort(-scores[chosen], kind="stable")
    return chosen[order]
