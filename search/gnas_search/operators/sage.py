"""GraphSAGE: a node's own vector beside an aggregate of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import CsrMatrix, maximum, product
from gnas_search.operators.weights import near_identity, transform


class _Sage(nn.Module):
    """``x W_self + (aggregate of the neighbours) W_neighbours``, the aggregate being a sparse product."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.own = near_identity(dim, generator)
        self.neighbours = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Combine each node with the aggregate of its neighbours: (U + I, d) -> (U + I, d)."""
        return transform(x, self.own) + transform(product(self._matrix(adjacency), x), self.neighbours)

    def _matrix(self, adjacency: Adjacency) -> CsrMatrix:
        raise NotImplementedError


class SageMean(_Sage):
    """``x W_self + mean(neighbours) W_neighbours``.

    References
    ----------
    Hamilton, W. L., Ying, R. and Leskovec, J. (2017). Inductive representation learning on large graphs. NeurIPS.
    """

    # Differs from Hamilton et al.: all neighbours instead of a sample, no bias, no normalisation of the output (the
    # scorer's task).

    def _matrix(self, adjacency: Adjacency) -> CsrMatrix:
        return adjacency.mean


class SageSum(_Sage):
    """``x W_self + sum(neighbours) W_neighbours``: how many neighbours there are is not averaged away.

    References
    ----------
    Hamilton, W. L., Ying, R. and Leskovec, J. (2017). Inductive representation learning on large graphs. NeurIPS.
    """

    # Differs from Hamilton et al.: as SageMean; they do not try a sum.

    def _matrix(self, adjacency: Adjacency) -> CsrMatrix:
        return adjacency.sum


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
