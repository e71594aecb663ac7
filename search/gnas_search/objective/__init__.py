"""What training minimises: losses over batches of users, each user weighing alike, however long the history."""

from __future__ import annotations

from gnas_search.objective.contrast import in_batch, sampled_softmax, softmax
from gnas_search.objective.minibatch import Batch, batches, users_per_batch
from gnas_search.objective.pairwise import bce, bpr
from gnas_search.objective.regularisers import Loss, adversarial, view_contrast
from gnas_search.objective.uniformity import alignment_uniformity

__all__ = [
    "AMONG_CHOSEN",
    "LOSSES",
    "Batch",
    "Loss",
    "adversarial",
    "alignment_uniformity",
    "batches",
    "bce",
    "bpr",
    "in_batch",
    "sampled_softmax",
    "softmax",
    "users_per_batch",
    "view_contrast",
]

LOSSES: dict[str, Loss] = {
    "alignment_uniformity": alignment_uniformity,
    "bce": bce,
    "bpr": bpr,
    "in_batch": in_batch,
    "sampled_softmax": sampled_softmax,
    "softmax": softmax,
}
"""By name; called as ``LOSSES[name](users, items, batch, spec, rng)``."""

AMONG_CHOSEN = ("alignment_uniformity", "in_batch")
"""Losses that compare what was chosen with each other: an item that nobody chose has no part in them."""
