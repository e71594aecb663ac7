"""GraphSAGE: a node's own vector beside an aggregate of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.spmm import Adjacency, maximum, product
from gnas_search.operators.weights import near_identity, transform


class SageMean(nn.Module):
    """``x W_self + mean(neighbours) W_neighbours``.

    References
    ----------
    Hamilton, W. L., Ying, R. and Leskovec, J. (2017). Inductive representation learning on large graphs. NeurIPS.
    """

    # Differs from Hamilton et al.: all neighbours instead of a sample, no bias, no normalisation of the output (the
    # scorer's task).

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.own = near_identity(dim, generator)
        self.neighbours = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Combine each node with the mean of its neighbours: (U + I, d) -> (U + I, d)."""
        return transform(x, self.own) + transform(product(adjacency.mean, x), self.neighbours)


class SageSum(nn.Module):
    """``x W_self + sum(neighbours) W_neighbours``: how many neighbours there are is not averaged away.

    References
    ----------
    Hamilton, W. L., Ying, R. and Leskovec, J. (2017). Inductive representation learning on large graphs. NeurIPS.
    """

    # Differs from Hamilton et al.: as SageMean; they do not try a sum.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.own = near_identity(dim, generator)
        self.neighbours = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Combine each node with the sum of its neighbours: (U + I, d) -> (U + I, d)."""
        return transform(x, self.own) + transform(product(adjacency.sum, x), self.neighbours)


class SageMax(nn.Module):
    """``x W_self + max(relu(neighbours W_pool)) W_neighbours``, the maximum taken per dimension.

    References
    ----------
    Hamilton, W. L., Ying, R. and Leskovec, J. (2017). Inductive representation learning on large graphs. NeurIPS.
    """

    # Differs from Hamilton et al.: as SageMean.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.pool = near_identity(dim, generator)
        self.own = near_identity(dim, generator)
        self.neighbours = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Combine each node with the maximum over its neighbours: (U + I, d) -> (U + I, d)."""
        pooled = maximum(adjacency.pattern, torch.relu(transform(x, self.pool)))
        return transform(x, self.own) + transform(pooled, self.neighbours)
