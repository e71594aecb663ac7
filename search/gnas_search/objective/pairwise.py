"""Each positive against one drawn item."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn.functional import softplus

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.objective.negatives import draw_opposites
from gnas_search.operators.spmm import entry_products


def bpr(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:
    """Compute the pairwise loss: each positive should score above one drawn item.

    A drawn item that is itself a positive of the user does not count. Parameters as
    :func:`gnas_search.objective.contrast.sampled_softmax`.

    References
    ----------
    Rendle, S. et al. (2009). BPR: Bayesian personalized ranking from implicit feedback. UAI.
    """
    opposite = draw_opposites(users, items, batch, spec, rng)
    margins = entry_products(batch.positives, users, items) - entry_products(opposite.pattern, users, items)  # (nnz,)
    return (batch.weights * opposite.counted * softplus(-margins / spec.temperature)).sum()


def bce(users: Tensor, items: Tensor, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> Tensor:
    """Compute the binary cross-entropy of each positive and of one drawn item, both under the logistic function.

    A drawn item that is itself a positive of the user does not count. Parameters as
    :func:`gnas_search.objective.contrast.sampled_softmax`.

    References
    ----------
    He, X. et al. (2017). Neural collaborative filtering. WWW.
    """
    opposite = draw_opposites(users, items, batch, spec, rng)
    wanted = softplus(-entry_products(batch.positives, users, items) / spec.temperature)
    unwanted = softplus(entry_products(opposite.pattern, users, items) / spec.temperature)
    return (batch.weights * (wanted + opposite.counted * unwanted)).sum()
