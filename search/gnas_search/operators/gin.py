"""GIN: a node and the sum of its neighbours, through a small network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product
from gnas_search.operators.weights import near_identity, transform

_SLOPE = 0.2


class GIN(nn.Module):
    """``leaky_relu(((1 + eps) x + sum(neighbours)) W_first) W_second``, with eps learned.

    References
    ----------
    Xu, K. et al. (2019). How powerful are graph neural networks? ICLR.
    """

    # Differs from Xu et al.: no bias and no batch normalisation, and a leaky ReLU.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.first = near_identity(dim, generator)
        self.second = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Add each node's neighbours to it and transform twice: (U + I, d) -> (U + I, d)."""
        gathered = (1.0 + self.eps) * x + product(adjacency.sum, x)
        return transform(leaky_relu(transform(gathered, self.first), _SLOPE), self.second)
