"""Random search: every point alike, whatever was tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, random_point


def random_search(_: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw every gene by itself: choices alike, numbers evenly on their own scale.

    References
    ----------
    Bergstra, J. and Bengio, Y. (2012). Random search for hyper-parameter optimization. JMLR 13.
    """
    return random_point(np.random.default_rng(seed), genes)
