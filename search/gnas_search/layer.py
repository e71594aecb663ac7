"""Layer: one LayerSpec as a module of message passing."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, elu, gelu, layer_norm, leaky_relu, normalize

from gnas_search.layer_spec import ATTENTION_OPERATORS, LayerSpec
from gnas_search.operators import OPERATORS
from gnas_search.operators.adjacency import Adjacency

_SLOPE = 0.2

ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": elu,
    "gelu": gelu,
    "leaky_relu": lambda x: leaky_relu(x, _SLOPE),
    "none": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
}

NORMALISE: dict[str, Callable[[Tensor], Tensor]] = {
    # All nodes are always there, so their own statistics serve: nothing to keep between training and use.
    "batch": lambda x: batch_norm(x, None, None, training=True),
    "layer": lambda x: layer_norm(x, x.shape[1:]),
    "none": lambda x: x,
    "unit": lambda x: normalize(x, dim=1),
}


class Layer(nn.Module):
    """A cell of operators, then normalisation, activation, dropout and the layer's input, as its spec says.

    Parameters
    ----------
    spec
        The layer.
    dim
        Width d of the vectors; of its input and its output.
    heads
        Of attention.
    generator
        Draws the initial weights.

    References
    ----------
    Ba, J. L., Kiros, J. R. and Hinton, G. E. (2016). Layer normalization. arXiv:1607.06450.
    Ioffe, S. and Szegedy, C. (2015). Batch normalization. ICML.
    """

    # Differs from both papers: no learned scale and shift, which a following scorer or layer can learn.

    def __init__(self, spec: LayerSpec, dim: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.spec = spec
        self.operators = nn.ModuleList(
            OPERATORS[name](dim, generator, **({"heads": heads} if name in ATTENTION_OPERATORS else {}))
            for name in spec.operators
        )

    def forward(self, x: Tensor, adjacency: Adjacency, drop: Callable[[Tensor, float], Tensor] | None = None) -> Tensor:
        """Pass messages: (U + I, d) -> (U + I, d).

        Parameters
        ----------
        x : (U + I, d)
        adjacency
            Along which messages are passed.
        drop
            Called with the output and the share of it to drop; None outside training.
        """
        outputs = [x]
        for (_, source), operator in zip(self.spec.nodes, self.operators, strict=True):
            outputs.append(operator(outputs[source], adjacency))
        leaves = [outputs[number] for number in self.spec.leaves]
        hidden = reduce(torch.add, leaves) / len(leaves) if len(leaves) > 1 else leaves[0]
        hidden = ACTIVATE[self.spec.resolved_activation](NORMALISE[self.spec.normalisation](hidden))
        if drop is not None and self.spec.dropout:
            hidden = drop(hidden, self.spec.dropout)
        return x + hidden if self.spec.residual else hidden
