"""SharedNetwork: the weights of every choice, and the network of any path through them."""

from __future__ import annotations

import torch
from torch import nn

from gnas_search.architecture import ArchitectureSpec
from gnas_search.combination import combination
from gnas_search.data.dataset import InteractionGraph
from gnas_search.heads import HEADS
from gnas_search.layer import Layer
from gnas_search.layer_spec import LayerSpec
from gnas_search.model import GraphRecommender
from gnas_search.supernet.choices import COMBINATION, SCORER, Choices


class SharedNetwork(GraphRecommender):
    """A supernet: embeddings, and of every layer, combination and scorer the weights of each choice.

    It computes what the chosen path does: a :class:`~gnas_search.model.GraphRecommender` of the path's spec with the
    same weights computes the same.

    Parameters
    ----------
    choices
        What shares weights.
    graph, seed
        As of :class:`~gnas_search.model.GraphRecommender`.

    References
    ----------
    Guo, Z. et al. (2020). Single path one-shot neural architecture search with uniform sampling. ECCV.
    """

    def __init__(self, choices: Choices, graph: InteractionGraph, *, seed: int) -> None:
        first = choices.any_path.spec
        super().__init__(first, graph, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        self._dim, self._heads = first.embedding_dim, first.heads
        self.operators = nn.ModuleDict()
        for layer in range(choices.depth):
            for node in range(1, choices.nodes(layer) + 1):
                for name in choices.operators(layer, node):
                    made = Layer(LayerSpec.of(name), self._dim, self._heads, generator)
                    self.operators[_name(layer, node, name)] = made.operators[0]
        names = choices.options(COMBINATION)
        self.combinations = nn.ModuleDict({name: combination(name, self._dim, generator) for name in names})
        self.heads = nn.ModuleDict({name: HEADS[name](self._dim, generator) for name in choices.options(SCORER)})
        self.choose(first)

    def choose(self, spec: ArchitectureSpec) -> None:
        """Take a path.

        Parameters
        ----------
        spec
            Of a :class:`~gnas_search.supernet.choices.Path`.
        """
        self.spec = spec
        self.layers = nn.ModuleList(self.layer(number, layer) for number, layer in enumerate(spec.layer_specs))
        self.combination = self.combinations[spec.combination]
        self.head = self.heads[spec.scorer]

    def layer(self, number: int, spec: LayerSpec) -> Layer:
        """Give a layer at a place (from 0), made of the shared operators of that place."""
        made = Layer(spec, self._dim, self._heads, torch.Generator().manual_seed(0))
        shared = (self.operators[_name(number, node, name)] for node, name in enumerate(spec.operators, start=1))
        made.operators = nn.ModuleList(shared)
        return made


def _name(layer: int, node: int, operator: str) -> str:
    return f"{layer}-{node}-{operator}"
