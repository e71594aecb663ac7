"""Small spaces for tests, of every family, and how many models they hold, counted one by one."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from gnas_search.bodies import MAX_LAYERS
from gnas_search.space import FamilySpace, NetworkSpace, SearchSpace
from gnas_search.space.layers import NAMES as LAYER_NAMES
from gnas_search.specs import GNN

SPACES = {name: SearchSpace.load(name) for name in ("full", "quick", "standard")}
TINY: dict[str, Any] = {
    "genes": {
        "num_layers": {"low": 0, "high": 2},
        "operator": ["gcn", "lightgcn"],
        "combination": ["last", "mean"],
        "include_input": [False, True],
        "scorer": ["cosine", "dot"],
        "temperature": [0.1, 0.2],
        "loss": ["bpr", "sampled_softmax"],
        "num_negatives": [10, 20],
        "edges": ["all", "target"],
    },
    "fixed": {"embedding_dim": 8},
    "start": [{"layers": ["gcn"], "temperature": 0.2, "num_negatives": 10}],
}
CLOSED: dict[str, Any] = {
    "filter": {
        "genes": {"response": ["ideal", "ridge"], "rank": [4, 8], "strength": {"low": 0.5, "high": 2.0, "log": True}},
        "fixed": {"item_power": 0.25},
        "start": [{"response": "ridge", "rank": 8, "strength": 1.0}, {"rank": 4, "strength": 2.0}],
    },
    "two-hop": {
        "genes": {"neighbours": {"low": 5, "high": 7}, "edges": ["all", "target"]},
        "start": [{"neighbours": 6, "edges": "all"}],
    },
}
OF_LAYERS = ("num_layers", *LAYER_NAMES)
ODD: list[dict[str, Any]] = [
    {"num_layers": [1, 2], "operator": ["gcn", "lightgcn", "skip"], "combination": ["last", "sum"]},
    {"num_layers": [2], "operator": ["lightgcn", "skip"], "combination": ["max", "concat", "attention"]},
    {"num_layers": [3], "operator": ["gat", "lightgcn", "skip"], "combination": ["last"]},
    {"num_layers": [1, 2], "operator": ["lightgcn", "low_pass"], "num_nodes": [2]},
    {"num_layers": [1], "operator": ["gcn"], "loss": ["sampled_softmax"], "negatives": ["hard"]},
    {"num_layers": [1], "operator": ["gcn", "gat"], "heads": [2, 4], "contrast_weight": [0.1], "contrast_noise": [0.0]},
    {"num_layers": [0, 2], "operator": ["skip", "gcn"], "contrast_weight": [0.0, 0.1], "edge_dropout": [0.2]},
    {
        "num_layers": [2],
        "operator": ["lightgcn", "gcn"],
        "activation": ["none", "leaky_relu"],
        "residual": [False, True],
    },
    {"num_layers": [2, 3], "operator": ["lightgcn", "skip"], "dropout": [0.0, 0.5], "normalisation": ["none", "unit"]},
    {"num_layers": [1, 2], "operator": ["gcn"], "epochs": [2, 3], "patience": [2, 3, 9], "adversarial_weight": [0.0]},
    {"num_layers": [1], "operator": ["gcn"], "temperature": {"low": 0.15, "high": 0.5}, "uniformity_weight": [2.0]},
]


def family_of_tiny(family: str = GNN) -> FamilySpace:
    return SearchSpace.from_json({**TINY, **CLOSED}).families[family]


def odd_space(genes: dict[str, Any]) -> NetworkSpace:
    """Give a space of some genes, both scorers and either input, with a start as its first choices read."""
    both = {"scorer": ["cosine", "dot"], "include_input": [False, True], "loss": ["alignment_uniformity", "bpr"]}
    whole = {**both, **genes}
    said = {name: gene[0] for name, gene in whole.items() if isinstance(gene, list) and name not in OF_LAYERS}
    count = genes.get("num_nodes", [1])[0]
    cell = {"cell": [[genes["operator"][0], 0]] * count} if count > 1 else {"operator": genes["operator"][0]}
    extras = {name: genes[name][0] for name in ("activation", "residual", "dropout", "normalisation") if name in genes}
    start = {**said, "layers": [{**cell, **extras}] * genes["num_layers"][0]}
    start |= {"temperature": genes["temperature"]["low"]} if "temperature" in genes else {}
    space = SearchSpace.from_json({"genes": whole, "fixed": {"embedding_dim": 8}, "start": [start]}).families[GNN]
    assert isinstance(space, NetworkSpace)
    return space


def gene_values(gene: Any) -> st.SearchStrategy[Any]:
    if isinstance(gene, CategoricalDistribution):
        return st.sampled_from(gene.choices)
    if isinstance(gene, IntDistribution):
        return st.integers(gene.low, gene.high)
    return st.floats(gene.low, gene.high)


def counted(space: FamilySpace, layers: int = MAX_LAYERS) -> int:
    """Count the specs of all points; genes of layers beyond ``layers`` have one value."""
    names, values = list(space.genes), []
    for name, gene in space.genes.items():
        found = gene.choices if isinstance(gene, CategoricalDistribution) else range(gene.low, gene.high + 1)
        beyond = name.startswith("layer.") and int(name.split(".")[1]) >= layers
        values.append(found[:1] if beyond else found)
    return len({space.to_spec(dict(zip(names, point, strict=True))) for point in itertools.product(*values)})
