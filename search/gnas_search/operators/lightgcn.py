"""LightGCN: neighbours averaged by the normalised adjacency, nothing learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product


class LightGCN(nn.Module):
    """``A x`` with the normalised adjacency A.

    References
    ----------
    He, X. et al. (2020). LightGCN: simplifying and powering graph convolution network for recommendation. SIGIR.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:  # noqa: ARG002  # the constructor of every operator
        super().__init__()

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Pass messages once: (U + I, d) -> (U + I, d)."""
        return product(adjacency.propagation, x)
