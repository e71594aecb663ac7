"""What training minimises: losses over batches of users, each user weighing alike, however long the history."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.contrast import sampled_softmax, softmax
from gnas_search.objective.minibatch import Batch, batches, users_per_batch
from gnas_search.objective.pairwise import bpr

__all__ = ["LOSSES", "Batch", "Loss", "batches", "bpr", "sampled_softmax", "softmax", "users_per_batch"]

Loss = Callable[[Tensor, Tensor, Batch, ArchitectureSpec, np.random.Generator], Tensor]

LOSSES: dict[str, Loss] = {"bpr": bpr, "sampled_softmax": sampled_softmax, "softmax": softmax}
"""By name; called as ``LOSSES[name](users, items, batch, spec, rng)``."""
