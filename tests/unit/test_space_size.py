"""Sizes of spaces: distinct models, counted without trying every point."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from toy_spaces import ODD, TINY, counted, odd_space

from gnas_search.graph_spec import GRAPH_FIELDS
from gnas_search.space import SearchSpace
from gnas_search.space.feasible import Count
from gnas_search.space.genes import choices
from gnas_search.space.layers import NAMES as LAYER_NAMES
from gnas_search.specs import GNN


@pytest.mark.parametrize(
    "genes", [genes for genes in ODD if not any(isinstance(gene, dict) for gene in genes.values())]
)
def test_size_of_odd_spaces(genes: dict[str, Any]) -> None:
    space = odd_space(genes)
    points = math.prod(len(choices(gene, None)) for gene in space.genes.values())
    assert points < 20_000  # so many are counted one by one
    assert space.size() == counted(space, 3)


@pytest.mark.parametrize("losses", [["bpr", "sampled_softmax"], ["softmax", "sampled_softmax"], ["bpr", "softmax"]])
def test_size_counts_distinct_architectures(losses: list[str]) -> None:
    start = {"layers": ["gcn"], "temperature": 0.2, "num_negatives": 10, "loss": losses[-1]}
    space = SearchSpace.from_json({**TINY, "genes": {**TINY["genes"], "loss": losses}, "start": [start]}).families[GNN]
    assert space.is_finite
    assert space.size() == counted(space)


@pytest.mark.parametrize(
    ("genes", "layers"),
    [
        ({"num_layers": [0, 1], "operator": ["gcn", "gat", "lightgcn", "skip"], "num_nodes": [1, 2]}, 1),
        ({"num_layers": [1], "operator": ["gcn", "skip"], "num_nodes": [3]}, 1),
        ({"num_layers": [0, 1, 2], "operator": ["gcn", "gat"], "heads": [1, 2, 4]}, 2),
        (
            {
                "num_layers": [0, 1],
                "operator": ["gcn", "lightgcn"],
                "activation": ["auto", "leaky_relu", "none", "relu"],
                "normalisation": ["none", "layer"],
                "dropout": [0.0, 0.5],
                "residual": [False, True],
            },
            1,
        ),
        (
            {
                "num_layers": [0, 1, 2],
                "operator": ["gcn"],
                "combination": ["last", "mean", "sum", "max", "concat", "attention"],
                "include_input": [False, True],
                "scorer": ["bilinear", "cosine", "dot", "mlp"],
                "temperature": [0.1, 0.2],
            },
            2,
        ),
        (
            {
                "num_layers": [1],
                "operator": ["gcn"],
                "scorer": ["cosine", "dot"],
                "loss": ["alignment_uniformity", "bce", "bpr", "in_batch", "sampled_softmax", "softmax"],
                "negatives": ["hard", "popularity", "uniform"],
                "num_negatives": [10, 20],
                "uniformity_weight": [0.5, 1.0, 2.0],
                "temperature": [0.1, 0.2],
            },
            1,
        ),
        (
            {
                "num_layers": [0, 1],
                "operator": ["gcn"],
                "edges": ["all", "target"],
                "edge_dropout": [0.0, 0.2],
                "contrast_weight": [0.0, 0.1, 0.2],
                "contrast_noise": [0.0, 0.1, 0.2],
                "adversarial_weight": [0.0, 1.0],
                "adversarial_radius": [0.1, 0.2],
            },
            1,
        ),
        (
            {
                "num_layers": [0, 1],
                "operator": ["gcn", "gin"],
                "init": ["random", "svd"],
                "edges": ["all", "target"],
                "event_weight": [0.0, 0.5, 1.0],
                "half_life": [0.0, 0.3],
                "max_degree": [0, 5],
                "cooccurrence": [0, 5],
                "edge_weights": ["symmetric", "uniform"],
                "features": [False, True],
            },
            1,
        ),
        (
            {
                "num_layers": [0, 1],
                "operator": ["lightgcn"],
                "init": ["random", "svd"],
                "edges": ["all", "target"],
                "event_weight.cart": [0.0, 1.0],
                "event_weight.view": [0.0, 0.5, 1.0],
            },
            1,
        ),
        (
            {
                "num_layers": [2],
                "operator": ["gat", "gcn", "gin"],
                "heads": [1, 2],
                "edge_weights": ["symmetric", "uniform"],
            },
            2,
        ),
    ],
    ids=[
        *("cells of two", "cells of three", "heads", "layers", "combinations", "losses", "regularisers"),
        *("graphs", "graphs of several events", "weights and heads"),
    ],
)
def test_size_of_what_is_conditional(genes: dict[str, Any], layers: int) -> None:
    raw = {"genes": genes, "fixed": {"embedding_dim": 8}}
    start = {"layers": [genes["operator"][0]] * max(genes["num_layers"]), "embedding_dim": 8}
    no_field = ("num_layers", "operator", *LAYER_NAMES, *GRAPH_FIELDS)
    first = {name: found[0] for name, found in genes.items() if name not in no_field and "." not in name}
    first["graph"] = {name: genes[name][0] for name in GRAPH_FIELDS if name in genes}
    if "num_nodes" in genes and 1 not in genes["num_nodes"]:
        start["layers"] = [{"cell": [["gcn", 0], ["gcn", 0], ["gcn", 0]]}]
    space = SearchSpace.from_json({**raw, "start": [{**first, **start}]}).families[GNN]
    assert space.size() == counted(space, layers)


def test_a_continuous_weight_counts_once() -> None:
    genes = {"num_layers": [1], "operator": ["gcn"], "contrast_noise": [0.05, 0.1, 0.2]}
    weight = {"contrast_weight": {"low": 0.01, "high": 1.0}}
    start = [{"layers": ["gcn"], "contrast_weight": 0.1}]
    assert SearchSpace.from_json({"genes": {**genes, **weight}, "start": start}).size() == 3


@pytest.mark.parametrize(
    ("genes", "models"),
    [
        ({"response": ["ideal", "heat"], "strength": [1.0, 2.0, 4.0], "rank": [4, 8]}, 8),
        ({"response": ["ideal", "linear"], "strength": [2.0, 4.0]}, 2),
        ({"response": ["heat", "ridge"], "strength": [2.0, 4.0], "edges": ["all", "target"]}, 8),
        ({"strength": [2.0, 4.0]}, 2),
        ({"rank": {"low": 2, "high": 300}, "user_power": [0.0, 0.5], "strength": [1.0, 2.0, 4.0]}, 1794),
    ],
)
def test_size_counts_distinct_closed_forms_whatever_constraints_there_are(genes: dict[str, Any], models: int) -> None:
    start = {"response": "heat" if "response" not in genes else genes["response"][0]}
    raw = {"filter": {"genes": genes, "fixed": {} if "response" in genes else start, "start": [start]}}
    space = SearchSpace.from_json(raw)
    points = [dict(zip(genes, values, strict=True)) for values in itertools.product(*map(listed, genes.values()))]
    assert len({space.read("filter", named(point)) for point in points}) == models
    assert space.size() == models
    held = SearchSpace.from_json({**raw, "forbid": [{"rank": 1}]})  # which is out of nothing
    assert space.count("filter") == held.count("filter") == Count(models, is_exact=True)


def listed(gene: Any) -> Any:
    return range(gene["low"], gene["high"] + 1) if isinstance(gene, dict) else gene


def named(point: dict[str, Any]) -> dict[str, Any]:
    return {f"filter.{name}": value for name, value in point.items()}
