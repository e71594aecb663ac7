"""A spectral low-pass filter: what neighbours have in common is kept, what sets them apart is damped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product
from gnas_search.polynomials import POLYNOMIALS

COEFFICIENTS = tuple(float(factor) for factor in POLYNOMIALS["low_pass"])
"""Of the powers of A: the binomial filter ``((1 + A) / 2)^2``."""


class LowPass(nn.Module):
    """``((1 + A) / 2)^2 x`` with the normalised adjacency A, nothing learned.

    An eigenvector of A with eigenvalue v is multiplied by ``((1 + v) / 2)^2``: 1 for the smoothest, 0 for the roughest,
    whose signs differ between users and items, and which LightGCN's ``A x`` only turns around.

    References
    ----------
    NT, H. and Maehara, T. (2019). Revisiting graph neural networks: all we have is low-pass filters. arXiv:1905.09550.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:  # noqa: ARG002  # the constructor of every operator
        super().__init__()

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Filter once, which reaches two steps far: (U + I, d) -> (U + I, d)."""
        once = product(adjacency.propagation, x)
        own, near, far = COEFFICIENTS
        return own * x + near * once + far * product(adjacency.propagation, once)
