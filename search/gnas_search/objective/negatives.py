"""What losses hold positives against: items drawn for each positive, or for a whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.operators.spmm import CsrPattern, entry_products

_POWER = 0.75
_DRAWS = 8
"""Items that a hard negative is the best scored of."""


@dataclass(frozen=True)
class Opposites:
    """One item for each positive of a batch.

    Attributes
    ----------
    pattern
        (b, I): the drawn item of each entry.
    counted : (nnz,) float32
        0 where the drawn item is itself a positive of the user, else 1.
    """

    pattern: CsrPattern
    counted: Tensor


def popularity_of(item_counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Give the chance of each item to be drawn by popularity, (I,): its count ** .75, as for words.

    Items without an interaction count as if they had one.

    References
    ----------
    Mikolov, T. et al. (2013). Distributed representations of words and phrases and their compositionality. NeurIPS.
    """
    weights: npt.NDArray[np.float64] = np.maximum(item_counts, 1) ** _POWER
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances


def draw_opposites(
    users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator
) -> Opposites:
    """Draw one item for each positive, as ``spec.negatives`` says.

    Parameters
    ----------
    users, items : (b, d), (I, d)
        Vectors, for hard negatives.
    batch, spec, rng
        The positives, how to draw, and what draws.

    References
    ----------
    Zhang, W. et al. (2013). Optimizing top-n collaborative filtering via dynamic negative item sampling. SIGIR (hard).
    """
    num_items, count = items.shape[0], len(batch.positives.indices)
    if spec.negatives == "popularity":
        drawn = rng.choice(num_items, count, p=popularity_of(batch.item_counts)).astype(np.int32)
    elif spec.negatives == "hard":
        drawn = _hardest(users.detach(), items.detach(), batch, rng)
    else:
        drawn = rng.integers(0, num_items, count, dtype=np.int32)
    counted = torch.from_numpy(~_are_positives(batch, drawn)).to(users.device, torch.float32)
    return Opposites(CsrPattern(batch.positives.indptr, drawn, num_items), counted)


def _hardest(users: Tensor, items: Tensor, batch: Batch, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Keep the best scored of several items drawn for each positive; a user's positives are taken last."""
    num_items, count = items.shape[0], len(batch.positives.indices)
    best, chosen = np.full(count, -np.inf, dtype=np.float32), np.zeros(count, dtype=np.int32)
    for _ in range(_DRAWS):
        drawn = rng.integers(0, num_items, count, dtype=np.int32)
        scores = entry_products(CsrPattern(batch.positives.indptr, drawn, num_items), users, items).cpu().numpy()
        scores = np.where(_are_positives(batch, drawn), np.finfo(np.float32).min, scores)
        chosen = np.where(scores > best, drawn, chosen)
        best = np.maximum(scores, best)
    return chosen


def _are_positives(batch: Batch, drawn: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    rows, num_items = batch.positives.rows.numpy(), batch.positives.num_columns
    return np.isin(rows * num_items + drawn, rows * num_items + batch.positives.indices)
