"""Dominance: when one point in several objectives is better than another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def dominates(one: Floats, other: Floats, ties: Sequence[float] | Floats = (0.0,)) -> npt.NDArray[np.bool_]:
    """Tell whether one point is at least as good as another in every objective, and better in one.

    Parameters
    ----------
    one, other : (..., m)
        Values, the higher the better; broadcast against each other.
    ties : (m,) or (1,)
        By how much, relative to the other's, a value may be worse and still as good, and has to be better to be better
        at all.
    """
    tied = np.asarray(ties) * np.abs(other)
    as_good, better = (one >= other - tied).all(axis=-1), (one > other + tied).any(axis=-1)
    return np.asarray(as_good & better)
