"""GCN: LightGCN's propagation of linearly transformed vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product
from gnas_search.operators.weights import near_identity, transform


class GCN(nn.Module):
    """``A x W`` with the normalised adjacency A.

    References
    ----------
    Kipf, T. N. and Welling, M. (2017). Semi-supervised classification with graph convolutional networks. ICLR.
    """

    # Differs from Kipf & Welling: no self loops, which would mix user with item vectors, no bias, and the
    # non-linearity is the model's, between layers.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Transform and pass messages once: (U + I, d) -> (U + I, d)."""
        return product(adjacency.propagation, transform(x, self.weight))
