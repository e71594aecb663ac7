"""NGCF: messages that also carry what node and neighbour have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product
from gnas_search.operators.weights import near_identity, transform


class NGCF(nn.Module):
    """``(x + A x) W_sum + (x * A x) W_product`` with the normalised adjacency A.

    References
    ----------
    Wang, X. et al. (2019). Neural graph collaborative filtering. SIGIR.
    """

    # Differs from Wang et al.: no message dropout; the non-linearity is the model's, between layers.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.sum = near_identity(dim, generator)
        self.product = near_identity(dim, generator)

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Add each node's neighbours and its products with them: (U + I, d) -> (U + I, d)."""
        messages = product(adjacency.propagation, x)
        return transform(x + messages, self.sum) + transform(x * messages, self.product)
