"""Skip: a layer that does nothing, so that a search over layers is also one over depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency


class Skip(nn.Module):
    """The identity."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:  # noqa: ARG002  # the constructor of every operator
        super().__init__()

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:  # noqa: ARG002  # the call of every operator
        """Give ``x`` back."""
        return x
