"""Rounding: what stored vectors may differ by from those that were trained, and what they do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_export.retrieval.turning import Turns
from gnas_serve.runtime.embeddings import LEAST_PEAK, EmbeddingTable

Floats = npt.NDArray[np.float32]

# What each type of stored vectors may round off of a component: half a step of its own size.
_HALF_STEPS = {"float16": 2.0**-11, "float32": 2.0**-24}
_LEAST_HALF, _LARGEST_HALF = 2.0**-24, 65504.0
_INT8_MAX = 127.0


def vector_rounding(table: EmbeddingTable, exact: Floats, rows: npt.NDArray[np.integer], turns: Turns) -> float:
    """Give the largest error of a component of some rows, in units of what their form may round off.

    What int8 may round off is told by the exact rows: coarser scales than those would allow themselves more.

    Parameters
    ----------
    exact : (n, D)
        As they were trained.
    turns
        What int8 vectors were turned by.
    """
    wanted = (exact[rows] if table.scales is None else turns(exact[rows])).astype(np.float64)
    if table.values.dtype == np.float16:
        wanted = wanted.clip(-_LARGEST_HALF, _LARGEST_HALF)
    error = np.abs(table.rows(rows) - wanted)
    if table.scales is None:
        allowed = np.maximum(np.abs(wanted) * _HALF_STEPS[str(table.values.dtype)], _LEAST_HALF)
    else:
        allowed = np.empty_like(error)
        for span in table.columns:
            peaks = np.abs(wanted[:, span]).max(axis=1, keepdims=True)
            allowed[:, span] = np.maximum(peaks / _INT8_MAX / 2.0, LEAST_PEAK)  # a smaller row is stored as zeros
    worst = float((error / allowed).max(initial=0.0))
    return worst if worst >= 0.0 else float("inf")  # a NaN is the largest of all and compares to nothing
