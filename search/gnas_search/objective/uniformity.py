"""Alignment and uniformity: positives close together, users and items spread over the sphere."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.operators.spmm import entry_products

_SHARPNESS = 2.0
MOST = 2048
"""Most vectors of a side that are held against each other: the number of pairs grows with its square."""


def alignment_uniformity(
    users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator
) -> Tensor:
    """Compute the mean squared distance of positives, and how evenly users, and items, lie on the unit sphere.

    Needs no negatives. Vectors are brought to unit length whatever the scorer. Parameters as
    :func:`gnas_search.objective.contrast.sampled_softmax`.

    References
    ----------
    Wang, C. et al. (2022). Towards representation alignment and uniformity in collaborative filtering. KDD.
    """
    # Differs from Wang et al.: a user weighs alike whatever the number of positives; each user and item of a batch
    # counts once in the uniformity, not once per positive; of many some are drawn.
    users, items = normalize(users, dim=1), normalize(items, dim=1)
    alignment = (batch.weights * (2.0 - 2.0 * entry_products(batch.positives, users, items))).sum()
    own = np.unique(batch.positives.indices).astype(np.int64)
    chosen = torch.from_numpy(some(own, rng)).to(items.device)
    rows = torch.from_numpy(some(np.arange(len(users)), rng)).to(users.device)
    spread = _log_mean_potential(users.index_select(0, rows)) + _log_mean_potential(items.index_select(0, chosen))
    return alignment + spec.uniformity_weight * spread / 2.0


def some(rows: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw :data:`MOST` of the rows, or give all where they are no more."""
    return rows if len(rows) <= MOST else rng.choice(rows, MOST, replace=False)


def _log_mean_potential(vectors: Tensor) -> Tensor:
    """Compute the logarithm of the mean of ``exp(-2 ||x - y||^2)`` over all pairs; 0 for a single vector."""
    count = len(vectors)
    if count < 2:
        return vectors.sum() * 0.0
    potentials = -2.0 * _SHARPNESS * (1.0 - vectors @ vectors.T)  # squared distances of unit vectors
    others = potentials.masked_fill(torch.eye(count, dtype=torch.bool, device=vectors.device), -torch.inf)
    return others.flatten().logsumexp(dim=0) - math.log(count * (count - 1))
