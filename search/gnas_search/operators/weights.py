"""Weight matrices that start as almost the identity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NOISE = 0.02


def near_identity(dim: int, generator: torch.Generator) -> nn.Parameter:
    """Draw a (dim, dim) matrix around the identity.

    A layer that starts as almost the identity passes good initial embeddings (the SVD's) on instead of scrambling
    them; there is no bias, which would give every node a common direction and so ruin cosine scores.
    """
    return nn.Parameter(torch.eye(dim) + _NOISE * torch.randn((dim, dim), generator=generator))


def transform(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a weight matrix in torch's orientation: (n, d) @ (d', d)^T -> (n, d')."""
    return x @ weight.T
