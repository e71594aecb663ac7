"""What is added to a loss: a contrast between two noisy views, and the loss of vectors moved where it hurts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from gnas_search.architecture import ArchitectureSpec
from gnas_search.objective.minibatch import Batch
from gnas_search.objective.uniformity import some

_TEMPERATURE = 0.2

Loss = Callable[[Tensor, Tensor, Batch, ArchitectureSpec, np.random.Generator], Tensor]
Views = tuple[Tensor, Tensor]


def view_contrast(one: Views, other: Views, batch: Batch, rng: np.random.Generator) -> Tensor:
    """Compute how badly a node's view is told from those of other nodes, by its other view.

    Parameters
    ----------
    one, other : ((b, d), (I, d))
        Users and items, each seen through noise of its own.
    batch, rng
        Whose items count, and what draws some of them where they are many.

    Returns
    -------
    () scalar
        Mean cross-entropy of the users plus that of the items.

    References
    ----------
    Yu, J. et al. (2022). Are graph augmentations necessary? Simple graph contrastive learning for recommendation.
    SIGIR.
    """
    sides = (np.arange(len(batch.users)), np.unique(batch.positives.indices).astype(np.int64))
    chosen = [torch.from_numpy(some(rows, rng)).to(one[0].device) for rows in sides]
    parts = [
        _told_apart(seen.index_select(0, rows), again.index_select(0, rows))
        for seen, again, rows in zip(one, other, chosen, strict=True)
    ]
    return parts[0] + parts[1]


def _told_apart(one: Tensor, other: Tensor) -> Tensor:
    logits = normalize(one, dim=1) @ normalize(other, dim=1).T / _TEMPERATURE
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def adversarial(
    loss_of: Loss,
    users: Tensor,
    items: Tensor,
    batch: Batch,
    spec: ArchitectureSpec,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Compute a loss, and the same loss of vectors moved in the direction in which it grows.

    Parameters
    ----------
    loss_of
        Any loss; it draws the same items both times (hard negatives: the best scored of the same, each time).
    users, items, batch, spec, rng
        As of a loss; each vector is moved by ``spec.adversarial_radius`` of its length.

    Returns
    -------
    loss, adversarial_loss : () scalars

    References
    ----------
    He, X. et al. (2018). Adversarial personalized ranking for recommendation. SIGIR.
    """
    # Differs from He et al.: the vectors that are scored are moved, not the embeddings beneath the layers, and by a
    # share of their length, so that a radius means the same for every scorer.
    again = copy.deepcopy(rng)
    loss = loss_of(users, items, batch, spec, rng)
    pulls = torch.autograd.grad(loss, (users, items), retain_graph=True)
    if spec.scorer == "cosine":  # only along the sphere: the rest of a pull would be undone by the unit length
        pulls = tuple(
            pull - (pull * vectors).sum(dim=1, keepdim=True) * vectors
            for vectors, pull in zip((users.detach(), items.detach()), pulls, strict=True)
        )
    moved = [
        vectors + spec.adversarial_radius * vectors.detach().norm(dim=1, keepdim=True) * normalize(pull, dim=1)
        for vectors, pull in zip((users, items), pulls, strict=True)
    ]
    if spec.scorer == "cosine":
        moved = [normalize(vectors, dim=1) for vectors in moved]
    return loss, loss_of(moved[0], moved[1], batch, spec, again)
