"""Scorers: how two vectors become one score.

A scorer prepares the vectors so that the score is always their inner product, in training, retrieval and serving.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gnas_search.operators.weights import near_identity, transform

_SLOPE = 0.2


class Dot(nn.Module):
    """The inner product of the vectors as they are."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:  # noqa: ARG002  # the constructor of every scorer
        super().__init__()

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Leave the vectors as they are: (b, d), (I, d) -> (b, d), (I, d)."""
        return users, items


class Cosine(Dot):
    """The cosine of the angle between the vectors."""

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Scale rows to unit length; a zero row (a node without edges) stays zero: (b, d), (I, d) -> the same."""
        return _unit(users), _unit(items)


def _unit(vectors: Tensor) -> Tensor:
    """Scale rows to unit length but those of zeros, through which a gradient passes as it is.

    :func:`torch.nn.functional.normalize` divides these by 1e-12: one such row makes a gradient that every weight behind
    it, and its optimiser's memory, drowns in.
    """
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(length > 0.0, length, 1.0)


class Bilinear(nn.Module):
    """``user . W item``: what pairs of dimensions say together.

    References
    ----------
    Yang, B. et al. (2015). Embedding entities and relations for learning and inference in knowledge bases. ICLR.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = near_identity(dim, generator)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Transform the users, once each, so that items stay as they are: (b, d), (I, d) -> the same."""
        return transform(users, self.weight), items


class MLP(nn.Module):
    """The inner product of two perceptrons' outputs, one for each side.

    References
    ----------
    Huang, P.-S. et al. (2013). Learning deep structured semantic models for web search using clickthrough data. CIKM.
    Rendle, S. et al. (2020). Neural collaborative filtering vs. matrix factorization revisited. RecSys.
    """

    # Differs from He et al. (2017), who put both vectors into one perceptron: no index could retrieve by that, and
    # Rendle et al. find inner products no worse.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.user_hidden = near_identity(dim, generator)
        self.user_out = near_identity(dim, generator)
        self.item_hidden = near_identity(dim, generator)
        self.item_out = near_identity(dim, generator)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Apply each side's perceptron: (b, d), (I, d) -> the same."""
        return (
            transform(leaky_relu(transform(users, self.user_hidden), _SLOPE), self.user_out),
            transform(leaky_relu(transform(items, self.item_hidden), _SLOPE), self.item_out),
        )


HEADS: dict[str, type[nn.Module]] = {"bilinear": Bilinear, "cosine": Cosine, "dot": Dot, "mlp": MLP}
"""By name; constructed as ``HEADS[name](dim, generator)``."""
