"""GATv2: neighbours weighed by attention that depends on both ends of an edge."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.attention import dynamic_attention
from gnas_search.operators.weights import near_identity, transform

_SLOPE = 0.2
_ATTENTION_NOISE = 0.1


class GATv2(nn.Module):
    """``softmax_j(a . leaky_relu(W_source x_j + W_target x_i))`` weighs ``W_source x_j``, per head.

    Unlike GAT, which neighbour weighs most may differ from node to node. Each head has its own share of the
    dimensions, side by side in the output. Edges with weights count as in GAT.

    References
    ----------
    Brody, S., Alon, U. and Yahav, E. (2022). How attentive are graph attention networks? ICLR.
    """

    # Differs from Brody et al.: no self loops, no bias, no dropout on the attention.

    def __init__(self, dim: int, generator: torch.Generator, *, heads: int = 1) -> None:
        super().__init__()
        self.source = near_identity(dim, generator)
        self.target = near_identity(dim, generator)
        self.query = nn.Parameter(_ATTENTION_NOISE * torch.randn((heads, dim // heads), generator=generator))

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Average each node's neighbours by attention: (U + I, d) -> (U + I, d)."""
        sources = transform(x, self.source).chunk(len(self.query), dim=1)
        targets = transform(x, self.target).chunk(len(self.query), dim=1)
        prior = adjacency.log_weights_on(x.device)
        averaged = [
            dynamic_attention(adjacency.pattern, source.contiguous(), target.contiguous(), query, _SLOPE, prior)
            for source, target, query in zip(sources, targets, self.query, strict=True)
        ]
        return averaged[0] if len(averaged) == 1 else torch.cat(averaged, dim=1)
