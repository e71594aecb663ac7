"""Combinations: how the outputs of the layers become one vector per node."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn

from gnas_search.operators.weights import near_identity, transform


class Combination(nn.Module):
    """A function of the layers' outputs without weights.

    Parameters
    ----------
    combine
        ``[(n, d), ...] -> (n, d')``.
    """

    def __init__(self, combine: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self._combine = combine

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Combine: m times (n, d) -> (n, d'), d' being d, or m d where they are concatenated."""
        return self._combine(outputs)


class Attention(nn.Module):
    """A weighted mean of the outputs, each node weighing its own: ``softmax_l(q . tanh(W h_l))``.

    Parameters
    ----------
    dim
        Width d.
    generator
        Draws the initial weights.

    References
    ----------
    Xu, K. et al. (2018). Representation learning on graphs with jumping knowledge networks. ICML.
    """

    # Differs from Xu et al.: a perceptron gives the logits instead of a bidirectional LSTM over the layers, which
    # would have more weights than all layers together.

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = near_identity(dim, generator)
        self.query = nn.Parameter(torch.zeros(dim))  # the plain mean, to begin with

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Combine: m times (n, d) -> (n, d)."""
        logits = torch.stack([torch.tanh(transform(part, self.weight)) @ self.query for part in outputs], dim=1)
        weights = logits.softmax(dim=1)  # (n, m)
        return reduce(torch.add, [part * weights[:, place, None] for place, part in enumerate(outputs)])


def combination(name: str, dim: int, generator: torch.Generator) -> nn.Module:
    """Make a combination by name, of :data:`gnas_search.architecture.COMBINATIONS`."""
    return Attention(dim, generator) if name == "attention" else Combination(_PLAIN[name])


def _largest(outputs: list[Tensor]) -> Tensor:
    return torch.stack(outputs).amax(dim=0)


_PLAIN: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "concat": lambda outputs: torch.cat(outputs, dim=1),
    "last": lambda outputs: outputs[-1],
    "max": _largest,
    "mean": lambda outputs: reduce(torch.add, outputs) / len(outputs),
    "sum": lambda outputs: reduce(torch.add, outputs),
}
