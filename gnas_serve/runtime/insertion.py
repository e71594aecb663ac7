"""Where unseen items stand in a ranked list, and on which scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


def inserted(
    rows: _Rows, scores: _Floats, retrieved: _Floats, values: npt.NDArray[np.float64], num_items: int
) -> tuple[_Rows, _Floats]:
    """Insert items into a ranked list by their retrieval scores.

    Parameters
    ----------
    rows : (n,) int64
        As ranked.
    scores : (n,) float32
        Descending.
    retrieved : (m,) float32
        The retrieval scores of all that was ranked, descending; m >= n.
    values : (u,) float64
        Retrieval scores of those that are inserted, ``-inf`` where there is none: these stand last.
    num_items
        How many items are known: the first that is inserted is of this row.

    Returns
    -------
    rows : (n + u,) int64
    scores : (n + u,) float32
        Descending, on the scale of ``scores``.
    """
    count = len(rows)
    above = count - np.searchsorted(retrieved[::-1], values, side="left")
    found = _carried_over(scores.astype(np.float64), retrieved.astype(np.float64), values, above)
    told = found[values > -np.inf]
    lowest = min([float(one.min()) for one in (scores, told) if len(one)], default=0.0)
    found = np.where(values > -np.inf, found, lowest)
    order = np.argsort(-values, kind="stable")
    # After `above` of the known ones, and before the next of them; the better first.
    keys = np.concatenate([np.arange(count, dtype=np.float64), above[order] - 0.5])
    merged = np.argsort(keys, kind="stable")
    every = np.concatenate([rows, num_items + order])[merged].astype(np.int64)
    return every, np.concatenate([scores, found[order].astype(np.float32)])[merged].astype(np.float32)


def _carried_over(
    scores: npt.NDArray[np.float64],
    retrieved: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    above: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Carry retrieval scores over to the scale of ranked ones: in proportion between two, as far beyond the ends."""
    count = len(scores)
    if count == 0:
        return values
    upper, lower = np.clip(above - 1, 0, count - 1), np.clip(above, 0, count - 1)
    width = retrieved[upper] - retrieved[lower]
    share = np.divide(values - retrieved[lower], width, out=np.zeros(len(values)), where=width > 0)
    between = scores[lower] + np.clip(share, 0.0, 1.0) * (scores[upper] - scores[lower])
    inside = (above > 0) & (above < count)
    found: npt.NDArray[np.float64] = np.where(inside, between, scores[lower] + (values - retrieved[lower]))
    return found
