"""MixedNetwork: every choice at once, each weighed by how promising it is."""

from __future__ import annotations

from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.space.encoder import NUM_LAYERS
from gnas_search.space.layers import OPERATOR
from gnas_search.supernet.choices import COMBINATION, INCLUDE_INPUT, Choices
from gnas_search.supernet.network import SharedNetwork


class Mixture:
    """The architecture parameters: of each gene, a logit per choice.

    Parameters
    ----------
    choices
        Those that :func:`~gnas_search.supernet.choices.mixed_choices` gives.
    device
        Of the logits.

    Attributes
    ----------
    logits : gene -> (choices,)
        All 0 to begin with.
    """

    def __init__(self, choices: Choices, device: torch.device) -> None:
        self.choices = choices
        self.logits = {
            name: torch.zeros(len(values), device=device, requires_grad=len(values) > 1)
            for name, values in choices.values.items()
        }

    @property
    def free(self) -> list[Tensor]:
        """The logits of the genes that have several choices."""
        return [logits for logits in self.logits.values() if logits.requires_grad]

    def gene(self, layer: int) -> str:
        """Name the gene of a layer's operator."""
        name = f"layer.{layer}"
        return name if name in self.logits else OPERATOR

    def shares(self, name: str) -> list[tuple[Any, Tensor | float]]:
        """Give the choices of a gene, each with its share; those of all add up to 1."""
        options = self.choices.options(name)
        if name not in self.logits:
            return [(options[0], 1.0)]
        return list(zip(options, self.logits[name].softmax(dim=0), strict=True))

    def costs(self) -> dict[str, dict[Any, float]]:
        """Say of each choice of each gene what it costs against the best one: how much less likely it is, as a log."""
        found: dict[str, dict[Any, float]] = {}
        for name, logits in self.logits.items():
            values = logits.detach().tolist()
            costs = (max(values) - value for value in values)
            found[name] = dict(zip(self.choices.options(name), costs, strict=True))
        return found


class MixedNetwork(SharedNetwork):
    """A supernet that computes the mixture of all paths, layer by layer, as long as no path is chosen.

    Parameters
    ----------
    choices, graph, seed
        As of :class:`SharedNetwork`.

    References
    ----------
    Liu, H., Simonyan, K. and Yang, Y. (2019). DARTS: differentiable architecture search. ICLR.
    """

    # Differs from Liu et al.: depth and combination are mixed as the operators are, and layers form a chain.

    mixture: Mixture | None = None

    def __init__(self, choices: Choices, graph: InteractionGraph, *, seed: int) -> None:
        super().__init__(choices, graph, seed=seed)
        self._choices = choices

    def mix(self, mixture: Mixture) -> None:
        """Compute the mixture from now on, until a path is chosen."""
        self.mixture = mixture
        self.layers = nn.ModuleList(
            nn.ModuleList(
                self.layer(number, self._choices.layer(number, name)) for name in self._choices.operators(number, 1)
            )
            for number in range(self._choices.depth)
        )

    def choose(self, spec: ArchitectureSpec) -> None:
        """Take a path."""
        self.mixture = None
        super().choose(spec)

    def _refined(self, *, training: bool, noise: float) -> Tensor:
        mixture = self.mixture
        if mixture is None:
            return super()._refined(training=training, noise=noise)
        adjacency = self._thinned if training else self.adjacency
        outputs = [self.embeddings if self.features is None else self.features(self.embeddings)]
        for number, candidates in enumerate(self.layers):
            shares = (share for _, share in mixture.shares(mixture.gene(number)))
            drop = self._drop if training else None
            passed = (layer(outputs[-1], adjacency, drop) for layer in cast(nn.ModuleList, candidates))
            hidden = _added([share * one for share, one in zip(shares, passed, strict=True)])
            outputs.append(self._moved(hidden, noise) if noise else hidden)
        depths = mixture.shares(NUM_LAYERS)
        return _added([share * self._combined(mixture, outputs[: depth + 1]) for depth, share in depths])

    def _combined(self, mixture: Mixture, outputs: list[Tensor]) -> Tensor:
        """Mix the combinations of the input and some layers' outputs."""
        if len(outputs) == 1:
            return outputs[0]
        parts = []
        for name, share in mixture.shares(COMBINATION):
            combine = self.combinations[name]
            if name == "last":
                parts.append(share * combine(outputs))
                continue
            for with_input, chance in mixture.shares(INCLUDE_INPUT):
                parts.append(share * chance * combine(outputs if with_input else outputs[1:]))
        return _added(parts)


def _added(parts: list[Tensor]) -> Tensor:
    return reduce(torch.add, parts)
