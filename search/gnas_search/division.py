"""Division: who of a checkpoint's validation users is learned from, and who judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.checkpoint import Checkpoint

MAX_GATE_USERS = 5000
LEAST_JUDGES = 30
"""Below this an interval says more about the draw than about the model."""


@dataclass(frozen=True)
class Division:
    """The users that have a validation item, divided by seed: some judge, the others fit the ranker."""

    fitting: npt.NDArray[np.int64]
    gate: npt.NDArray[np.int64]


def divided_users(checkpoint: Checkpoint) -> Division:
    """Divide the users that have a validation item by the seed of the split, not by that of the export.

    So no choice of an export seed can move a user from those that were fitted on to those that judge. Half of them
    judge, but no more than :data:`MAX_GATE_USERS`: a ranker learns from every other one.
    """
    users = np.flatnonzero(np.diff(checkpoint.valid.indptr) > 0)
    shuffled = np.random.default_rng([checkpoint.config.split_seed, len(users)]).permutation(users)
    fitting = max(len(shuffled) // 2, len(shuffled) - MAX_GATE_USERS)
    return Division(np.sort(shuffled[:fitting]), np.sort(shuffled[fitting:]))
