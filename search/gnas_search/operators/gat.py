"""GAT: neighbours weighed by learned attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.spmm import Adjacency, attention
from gnas_search.operators.weights import near_identity, transform

_SLOPE = 0.2
_ATTENTION_NOISE = 0.1


class GAT(nn.Module):
    """One attention head: ``softmax_j(leaky_relu(a_source . h_j + a_target . h_i))`` weighs neighbour j of node i.

    References
    ----------
    Veličković, P. et al. (2018). Graph attention networks. ICLR.
    """

    # Differs from Veličković et al.: no self loops (as GCN), one head, no dropout on the attention.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = near_identity(dim, generator)
        self.source = nn.Parameter(_ATTENTION_NOISE * torch.randn(dim, generator=generator))
        self.target = nn.Parameter(_ATTENTION_NOISE * torch.randn(dim, generator=generator))

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Average each node's neighbours by attention: (U + I, d) -> (U + I, d)."""
        hidden = transform(x, self.weight)
        return attention(adjacency.pattern, hidden, hidden @ self.source, hidden @ self.target, _SLOPE)
