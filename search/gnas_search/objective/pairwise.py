"""Each positive against one drawn item."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.operators.spmm import CsrPattern, entry_products


def bpr(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:
    """Compute the pairwise loss: each positive should score above one item drawn uniformly.

    A drawn item that is itself a positive of the user does not count. Parameters as
    :func:`gnas_search.objective.contrast.sampled_softmax`.

    References
    ----------
    Rendle, S. et al. (2009). BPR: Bayesian personalized ranking from implicit feedback. UAI.
    """
    pattern = batch.positives
    num_items = items.shape[0]
    drawn = rng.integers(0, num_items, len(pattern.indices), dtype=np.int32)
    rows = pattern.rows.numpy()
    counted = ~np.isin(rows * num_items + drawn, rows * num_items + pattern.indices)
    opposite = CsrPattern(pattern.indptr, drawn, num_items)
    margins = entry_products(pattern, users, items) - entry_products(opposite, users, items)  # (nnz,)
    return (batch.weights * torch.from_numpy(counted).to(users.device) * softplus(-margins / spec.temperature)).sum()
