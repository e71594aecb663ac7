"""Batches of users with all their positives, each user weighing alike, however long the history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from gnas_search.operators.spmm import CsrPattern

MAX_BATCHES = 32
"""Most batches an epoch of many users is divided into: each costs a propagation over the whole graph, so that a fixed
number of users per batch would make an epoch's cost grow with the square of the data."""

MAX_POSITIVES = 1 << 18
"""Most positives in a batch of more than one user: bounds memory where histories are long."""


@dataclass(frozen=True)
class Batch:
    """Some users with all their positives.

    Attributes
    ----------
    users : (b,) int64
        User rows.
    positives
        (b, I) pattern of their positives.
    weights : (nnz,) float32
        Of each positive: 1 / (b * its user's positives), so they sum to 1.
    item_counts : (I,) int64
        Positives of each item among all users, for losses that draw or correct by popularity.
    """

    users: Tensor
    positives: CsrPattern
    weights: Tensor
    item_counts: npt.NDArray[np.int64]


def users_per_batch(num_users: int, batch_size: int) -> int:
    """Give how many users a batch has: ``batch_size``, or more where that made over :data:`MAX_BATCHES` of them."""
    return max(batch_size, -(-num_users // MAX_BATCHES))


def batches(
    positives: sp.csr_matrix, batch_size: int, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Divide the users with positives into shuffled batches: one epoch.

    Parameters
    ----------
    positives : (U, I) CSR
    batch_size
        Users in a batch (:func:`users_per_batch`); fewer where their positives exceed :data:`MAX_POSITIVES`, or
        twice the positives of a batch where that is more.
    rng
        Shuffles.
    device
        Where the batches' tensors go.
    """
    degrees = np.diff(positives.indptr).astype(np.int64)
    users = rng.permutation(np.flatnonzero(degrees))
    size = users_per_batch(len(users), batch_size)
    most = max(MAX_POSITIVES, 2 * positives.nnz // MAX_BATCHES)
    ends = np.cumsum(degrees[users])
    item_counts = np.bincount(positives.indices, minlength=positives.shape[1])
    start = 0
    while start < len(users):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + most, side="right"))
        stop = min(start + size, max(fitting, start + 1))
        yield _batch(positives, users[start:stop], item_counts, device)
        start = stop


def _batch(
    positives: sp.csr_matrix,
    users: npt.NDArray[np.int64],
    item_counts: npt.NDArray[np.int64],
    device: torch.device | str,
) -> Batch:
    chosen = positives[users]
    degrees = np.diff(chosen.indptr)
    weights = np.repeat(1.0 / (len(users) * degrees), degrees).astype(np.float32)
    pattern = CsrPattern(chosen.indptr, chosen.indices, chosen.shape[1])
    return Batch(torch.from_numpy(users).to(device), pattern, torch.from_numpy(weights).to(device), item_counts)
