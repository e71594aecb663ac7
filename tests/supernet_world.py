"""Spaces whose networks share weights, on a small random graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from random_graph import random_graph

from gnas_search.architecture import COMBINATIONS, SCORERS
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.layer_spec import OPERATOR_NAMES
from gnas_search.model import GraphRecommender
from gnas_search.space import NetworkSpace, SearchSpace
from gnas_search.supernet.choices import Choices, Path, path_choices
from gnas_search.supernet.network import SharedNetwork

EVERYTHING: dict[str, Any] = {
    "genes": {
        "num_layers": {"low": 0, "high": 3},
        "operator": list(OPERATOR_NAMES),
        "num_nodes": [1, 2],
        "combination": list(COMBINATIONS),
        "include_input": [False, True],
        "scorer": list(SCORERS),
        "embedding_dim": [8, 16],
        "learning_rate": {"low": 0.01, "high": 0.09, "log": True},
    },
    "fixed": {"init": "random", "heads": 2, "loss": "softmax", "batch_size": 32, "epochs": 2, "temperature": 0.2},
    "start": [{"layers": ["lightgcn"], "embedding_dim": 8, "learning_rate": 0.03}],
}


def space_of(content: dict[str, Any]) -> NetworkSpace:
    """Read a space of networks alone."""
    found = SearchSpace.from_json(content).families["gnn"]
    assert isinstance(found, NetworkSpace)
    return found


def small(**genes: Any) -> NetworkSpace:
    """Give the space of everything with other genes; of None, a gene has its default."""
    content = {**EVERYTHING, "genes": {**EVERYTHING["genes"], **genes}}
    content["genes"] = {name: gene for name, gene in content["genes"].items() if gene is not None}
    operators, scorers = content["genes"]["operator"], content["genes"]["scorer"]
    scorer = "cosine" if "cosine" in scorers else scorers[0]
    content["start"] = [{**EVERYTHING["start"][0], "layers": operators[:1], "scorer": scorer}]
    return space_of(content)


def graph_and_validation() -> tuple[InteractionGraph, Validation]:
    """Give 40 users of 10 interactions with 30 items, a quarter of them held out."""
    whole = random_graph(40, 30)
    keep = np.random.default_rng(1).random(whole.positives.nnz) < 0.75
    train, held = whole.positives.copy(), whole.positives.copy()
    train.data, held.data = keep.astype(np.float32), (~keep).astype(np.float32)
    for part in (train, held):
        part.eliminate_zeros()
    return InteractionGraph(train, train), Validation(train, held, max_users=None, seed=0)


def scrambled(space: NetworkSpace, graph: InteractionGraph) -> tuple[Choices, SharedNetwork]:
    """Make a supernet whose weights are far from what they are to begin with."""
    choices = path_choices(space)
    network = SharedNetwork(choices, graph, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return choices, network


def recommender_of(path: Path, network: SharedNetwork, graph: InteractionGraph) -> GraphRecommender:
    """Make the network of a path by itself, and write the shared weights into it."""
    alone = GraphRecommender(path.spec, graph, seed=7)
    with torch.no_grad():
        alone.embeddings.copy_(network.embeddings)
    for number, (layer, spec) in enumerate(zip(alone.layers, path.spec.layer_specs, strict=True)):
        for node, (operator, name) in enumerate(zip(layer.operators, spec.operators, strict=True), start=1):
            operator.load_state_dict(network.operators[f"{number}-{node}-{name}"].state_dict())
    alone.combination.load_state_dict(network.combinations[path.spec.combination].state_dict())
    alone.head.load_state_dict(network.heads[path.spec.scorer].state_dict())
    return alone
