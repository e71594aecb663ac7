"""GAT: neighbours weighed by learned attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.attention import attention
from gnas_search.operators.weights import near_identity, transform

_SLOPE = 0.2
_ATTENTION_NOISE = 0.1


class GAT(nn.Module):
    """``softmax_j(leaky_relu(a_source . h_j + a_target . h_i))`` weighs neighbour j of node i, per head.

    Each head has its own share of the dimensions, side by side in the output. Where edges have weights, attention is
    multiplied by them: their logarithm is added within the softmax.

    References
    ----------
    Veličković, P. et al. (2018). Graph attention networks. ICLR.
    """

    # Differs from Veličković et al.: no self loops (as GCN), no dropout on the attention.

    def __init__(self, dim: int, generator: torch.Generator, *, heads: int = 1) -> None:
        super().__init__()
        self.weight = near_identity(dim, generator)
        self.source = nn.Parameter(_ATTENTION_NOISE * torch.randn((heads, dim // heads), generator=generator))
        self.target = nn.Parameter(_ATTENTION_NOISE * torch.randn((heads, dim // heads), generator=generator))

    def forward(self, x: Tensor, adjacency: Adjacency) -> Tensor:
        """Average each node's neighbours by attention: (U + I, d) -> (U + I, d)."""
        heads = transform(x, self.weight).chunk(len(self.source), dim=1)
        prior = adjacency.log_weights_on(x.device)
        averaged = [
            attention(adjacency.pattern, hidden.contiguous(), hidden @ source, hidden @ target, _SLOPE, prior)
            for hidden, source, target in zip(heads, self.source, self.target, strict=True)
        ]
        return averaged[0] if len(averaged) == 1 else torch.cat(averaged, dim=1)
