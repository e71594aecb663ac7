"""SearchSpace: every point of every family is a valid spec; files are checked by name; the families take turns."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import MAX_LAYERS
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.edge_log import EdgeLog
from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_search.graph_spec import GRAPH_FIELDS, GraphSpec
from gnas_search.layer_spec import LayerSpec
from gnas_search.space import FamilySpace, NetworkSpace, SearchSpace, Value
from gnas_search.space.feasible import Count
from gnas_search.space.genes import choices
from gnas_search.space.layers import NAMES as LAYER_NAMES
from gnas_search.specs import FAMILIES, GNN, kind_of, read_spec
from gnas_serve.errors import ConfigError
from gnas_serve.vocabulary import Vocabulary

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


def family_of_tiny(family: str = GNN) -> FamilySpace:
    return SearchSpace.from_json({**TINY, **CLOSED}).families[family]


def gene_values(gene: Any) -> st.SearchStrategy[Any]:
    if isinstance(gene, CategoricalDistribution):
        return st.sampled_from(gene.choices)
    if isinstance(gene, IntDistribution):
        return st.integers(gene.low, gene.high)
    return st.floats(gene.low, gene.high)


@st.composite
def points(draw: st.DrawFn) -> tuple[FamilySpace, dict[str, Value]]:
    family = draw(st.sampled_from(FAMILIES))
    space = draw(st.sampled_from(list(SPACES.values()))).families[family]
    return space, {name: draw(gene_values(gene)) for name, gene in space.genes.items()}


@given(points())
def test_every_point_is_a_canonical_spec_that_survives_json(point: tuple[FamilySpace, dict[str, Value]]) -> None:
    spec = point[0].to_spec(point[1])
    assert spec.canonical() == spec
    assert read_spec(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.summary()


@settings(deadline=None)
@given(points())
def test_encode_gives_a_point_that_reads_as_the_same_spec(point: tuple[FamilySpace, dict[str, Value]]) -> None:
    space, values = point
    spec = space.to_spec(values)
    assert space.to_spec(space.encode(spec)) == spec


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


@pytest.mark.parametrize("genes", ODD, ids=lambda genes: "-".join(list(genes)[2:] or ["plain"]))
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_a_point_reads_as_is_encoded(genes: dict[str, Any], data: st.DataObject) -> None:
    space = odd_space(genes)
    spec = space.to_spec({name: data.draw(gene_values(gene)) for name, gene in space.genes.items()})
    assert space.to_spec(space.encode(spec)) == spec


@pytest.mark.parametrize(
    "genes", [genes for genes in ODD if not any(isinstance(gene, dict) for gene in genes.values())]
)
def test_size_of_odd_spaces(genes: dict[str, Any]) -> None:
    space = odd_space(genes)
    points = math.prod(len(choices(gene, None)) for gene in space.genes.values())
    assert points < 20_000  # so many are counted one by one
    assert space.size() == counted(space, 3)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=100)
@given(st.data())
def test_equal_keys_mean_equal_specs(family: str, data: st.DataObject) -> None:
    space = family_of_tiny(family)
    first, second = (
        space.to_spec({name: data.draw(gene_values(gene)) for name, gene in space.genes.items()}) for _ in range(2)
    )
    assert (first.key() == second.key()) == (first == second)


def test_inactive_genes_have_no_effect() -> None:
    space = SPACES["standard"].families[GNN]
    values = space.encode(replace(space.starts[0], layers=(), init="random", scorer="dot", loss="bpr"))
    plain = space.to_spec(values)
    changed = {"layer.0": "gat", "layer.2": "gcn", "combination": "concat", "edges": "target", "temperature": 0.07}
    idle = {name: value for name, value in changed.items() if name in space.genes}
    assert len(idle) > 4
    assert space.to_spec({**values, **idle}) == plain
    filters = family_of_tiny("filter")
    point = {"filter.response": "ideal", "filter.rank": 4, "filter.strength": 0.5}
    assert filters.to_spec(point) == filters.to_spec({**point, "filter.strength": 2.0})


@pytest.mark.parametrize("name", SPACES)
def test_ready_spaces_survive_json_and_hold_their_starts(name: str) -> None:
    whole = SPACES[name]
    assert SearchSpace.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    assert set(whole.families) == set(FAMILIES)
    for family, space in whole.families.items():
        assert len(space.starts) >= 2
        for start in space.starts:
            assert kind_of(start) == family
            point = space.encode(start)
            assert set(point) == set(space.genes)
            assert space.to_spec(point) == start.canonical()
        assert len({start.key() for start in space.starts}) == len(space.starts)
        assert not space.is_finite


def test_a_gene_of_a_closed_form_is_named_by_its_family() -> None:
    """In the journal of a study genes of all families lie side by side."""
    names = [name for space in SPACES["standard"].families.values() for name in space.genes]
    assert len(set(names)) == len(names)
    assert "filter.rank" in names
    assert "two-hop.neighbours" in names
    assert set(family_of_tiny("filter").to_json()["genes"]) == {"response", "rank", "strength"}


@pytest.mark.parametrize("losses", [["bpr", "sampled_softmax"], ["softmax", "sampled_softmax"], ["bpr", "softmax"]])
def test_size_counts_distinct_architectures(losses: list[str]) -> None:
    start = {"layers": ["gcn"], "temperature": 0.2, "num_negatives": 10, "loss": losses[-1]}
    space = SearchSpace.from_json({**TINY, "genes": {**TINY["genes"], "loss": losses}, "start": [start]}).families[GNN]
    assert space.is_finite
    assert space.size() == counted(space)


def counted(space: FamilySpace, layers: int = MAX_LAYERS) -> int:
    """Count the specs of all points; genes of layers beyond ``layers`` have one value."""
    names, values = list(space.genes), []
    for name, gene in space.genes.items():
        found = gene.choices if isinstance(gene, CategoricalDistribution) else range(gene.low, gene.high + 1)
        beyond = name.startswith("layer.") and int(name.split(".")[1]) >= layers
        values.append(found[:1] if beyond else found)
    return len({space.to_spec(dict(zip(names, point, strict=True))) for point in itertools.product(*values)})


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


@pytest.mark.parametrize(
    ("own", "graph"),
    [
        ({"half_life": {"low": 0.1, "high": 0.5}}, {"half_life": 0.1}),
        ({"max_degree": [10, 20]}, {"max_degree": 10}),
        ({"cooccurrence": [5, 10]}, {"cooccurrence": 5}),
        ({"edge_weights": ["uniform"]}, {"edge_weights": "uniform"}),
        ({"edges": ["all"], "event_weight": [0.3, 0.7]}, {"event_weight": 0.3}),
        ({"edges": ["all"], "event_weight.view": [0.3, 0.7]}, {"event_weight": {"view": 0.3}}),
        ({"event_weight": [0.3, 0.7]}, {}),  # without effect on the target's edges
    ],
)
def test_the_graph_of_a_start_that_says_none_is_as_near_as_the_space_has_it(
    own: dict[str, Any], graph: dict[str, Any]
) -> None:
    raw = {"genes": {"operator": ["lightgcn", "gcn"], "num_layers": [1, 2], **own}}
    space = SearchSpace.from_json(raw).families[GNN]
    assert space.starts[0].graph.to_json() == graph
    assert space.to_spec(space.encode(space.starts[0])) == space.starts[0].canonical()
    with pytest.raises(ConfigError, match=r"^x: start: graph: .*'half_life': 0.9"):
        SearchSpace.from_json({**raw, "start": [{"graph": {"half_life": 0.9}}]}, source="x")


def test_a_model_that_says_less_than_a_space_has_is_refused_in_words() -> None:
    space = SearchSpace.from_json({"genes": {"operator": ["gcn"], "num_layers": [1], "max_degree": [10]}})
    with pytest.raises(ConfigError, match=r"graph: unsaid is outside the space"):
        space.families[GNN].encode(ArchitectureSpec(layers=("gcn",)))


def test_there_are_genes_for_the_layers_that_a_space_can_have() -> None:
    for depth in (1, 2):
        raw = {
            "genes": {"num_layers": {"low": 0, "high": depth}, "operator": ["gcn", "gat"]},
            "start": [{"layers": []}],
        }
        space = SearchSpace.from_json(raw).families[GNN]
        assert sorted(space.genes) == [*(f"layer.{layer}" for layer in range(depth)), "num_layers"]


def test_layers_of_a_start_have_what_is_fixed_for_all() -> None:
    raw = {
        "genes": {"num_layers": [1, 2], "operator": ["gcn", "gat"]},
        "fixed": {"dropout": 0.2, "activation": "relu"},
        "start": [{"layers": ["gcn", {"operator": "gat", "dropout": 0.2}]}],
    }
    space = SearchSpace.from_json(raw).families[GNN]
    plain = LayerSpec((("gcn", 0),), "relu", dropout=0.2)
    assert space.starts[0].layers == (plain, replace(plain, nodes=(("gat", 0),)))
    assert space.to_spec(space.encode(space.starts[0])) == space.starts[0].canonical()
    unsaid = {**raw, "genes": {"num_layers": [3], "operator": ["lightgcn"]}}
    del unsaid["start"]
    (start,) = SearchSpace.from_json(unsaid).families[GNN].starts
    assert start.layers == (replace(plain, nodes=(("lightgcn", 0),)),) * 3
    with pytest.raises(ConfigError, match=r"start: layers: .* is outside the space"):
        SearchSpace.from_json({**raw, "start": [{"layers": [{"operator": "gcn", "dropout": 0.1}]}]})


def test_a_continuous_weight_counts_once() -> None:
    genes = {"num_layers": [1], "operator": ["gcn"], "contrast_noise": [0.05, 0.1, 0.2]}
    weight = {"contrast_weight": {"low": 0.01, "high": 1.0}}
    start = [{"layers": ["gcn"], "contrast_weight": 0.1}]
    assert SearchSpace.from_json({"genes": {**genes, **weight}, "start": start}).size() == 3


def test_a_cell_and_its_extras_are_read_and_written() -> None:
    space = SPACES["full"].families[GNN]
    layer = LayerSpec((("gat", 0), ("gcn", 1)), "relu", "unit", 0.3, residual=True)
    spec = replace(space.starts[0], layers=("gin", layer), heads=4).canonical()
    values = space.encode(spec)
    assert {values[f"layer.1{name}"] for name in ("", ".node.2", ".activation", ".normalisation")} == {
        "gat",
        "gcn",
        "relu",
        "unit",
    }
    assert (values["layer.0.num_nodes"], values["layer.1.num_nodes"], values["layer.1.source.2"]) == (1, 2, 1)
    assert space.to_spec(values) == spec


def dataset(*, more_events: bool) -> Dataset:
    positives = sp.csr_matrix([[1.0, 0.0], [0.0, 1.0]])
    edges = sp.csr_matrix([[1.0, 1.0], [0.0, 1.0]]) if more_events else positives
    graph = InteractionGraph(positives, edges)
    ids = Vocabulary.from_ids([1, 2])
    return Dataset(
        users=ids,
        items=ids,
        selection=graph,
        final=graph,
        valid=positives,
        item_features=None,
        user_features=None,
        item_recency=None,
        target_event=None,
        policy="random",
        fingerprint="0",
        config=DatasetConfig(),
    )


def test_what_a_start_leaves_out_is_as_usual_or_as_near_as_the_space_has_it() -> None:
    genes = {
        "num_layers": [0, 1],
        "operator": ["gcn", "sage_mean"],
        "loss": ["in_batch", "bpr"],
        "embedding_dim": [16, 32],
        "learning_rate": {"low": 0.1, "high": 0.5},
        "scorer": ["dot", "cosine"],
    }
    usual = ArchitectureSpec()
    for start in ([{}], None, [{"layers": ["gcn"]}]):
        given = {"genes": genes, "filter": {"genes": {"rank": [4, 8]}}, **({} if start is None else {"start": start})}
        space = SearchSpace.from_json(given)
        network = space.families["gnn"].starts[0]
        assert (network.loss, network.embedding_dim, network.learning_rate) == ("in_batch", 16, 0.1)
        assert network.scorer == usual.scorer
        assert space.families["filter"].starts[0].rank == 4
        assert SearchSpace.from_json(space.to_json()) == space
    assert SearchSpace.from_json({"genes": genes, "start": [{"layers": ["gcn"]}]}).families["gnn"].starts[0].layers == (
        "gcn",
    )


def test_restrict_drops_edges_that_cannot_differ() -> None:
    whole = SearchSpace.from_json({**TINY, **CLOSED, "start": [{**TINY["start"][0], "edges": "all"}]})
    assert whole.restrict(dataset(more_events=True)) == whole
    fewer = whole.restrict(dataset(more_events=False))
    for family in (GNN, "two-hop"):
        space, restricted = whole.families[family], fewer.families[family]
        assert any(name.endswith("edges") for name in space.genes)
        assert not any(name.endswith("edges") for name in restricted.genes)
        assert space.starts[0].edges == "all"
        assert restricted.starts[0].edges == "target"
        assert restricted.to_spec(restricted.encode(restricted.starts[0])).edges == "target"
        assert restricted.size() < space.size()
    assert fewer.families["filter"].size() == whole.families["filter"].size() == 4
    assert whole.size() == sum(space.size() for space in whole.families.values())


GRAPHS: dict[str, Any] = {
    "genes": {
        "num_layers": [1],
        "operator": ["gcn", "lightgcn"],
        "edges": ["all", "target"],
        "event_weight": [0.0, 0.5, 1.0],
        "half_life": [0.0, 0.3],
        "features": [False, True],
        "max_degree": [0, 5],
    },
    "start": [{"layers": ["gcn"], "edges": "all", "graph": {"half_life": 0.3, "event_weight": 0.5}, "features": True}],
}


def logged(*, events: int, timed: bool, features: bool) -> Dataset:
    """Two users, three items; the second user's edge to the first item is one of other events."""
    positives = sp.csr_matrix([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    edges = sp.csr_matrix([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]) if events else positives
    others = ("cart", "view")[:events]
    places, codes = ([0, 1, 2, 3], [0, 1, 0, events]) if events else ([0, 1], [0, 0])
    log = EdgeLog(
        others,
        np.array(places, np.int32) if events else None,
        np.array(codes, np.int8) if events else None,
        np.linspace(0, 1, len(places), dtype=np.float32) if timed else None,
    )
    table = FeatureTable(("price",), np.ones((3, 1), np.float32)) if features else None
    graph = InteractionGraph(positives, edges, log=log if events or timed else None, item_features=table)
    return replace(dataset(more_events=False), selection=graph, final=graph, item_features=table)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("events", [0, 1, 2])
def test_restrict_drops_what_the_data_cannot_tell(events: int, features: bool, timed: bool) -> None:
    whole = SearchSpace.from_json(GRAPHS).families[GNN]
    space = whole.restrict(logged(events=events, timed=timed, features=features))
    assert ("edges" in space.genes) == (events > 0)
    assert ("half_life" in space.genes) == timed
    assert ("features" in space.genes) == features
    named = ["event_weight.cart", "event_weight.view"]
    weights = {0: [], 1: ["event_weight"], 2: named}[events]
    assert sorted(name for name in space.genes if name.startswith("event")) == weights
    assert space.size() == counted(space)
    (start,) = space.starts
    assert (start.graph.half_life, start.features) == (0.3 if timed else 0.0, features)
    read = space.to_spec(space.encode(start))
    assert (read.edges, read.features) == ("all" if events else "target", features)
    for event in ("cart", "view")[:events]:
        assert read.graph.weight_of(event) == 0.5
    if events == 2:
        assert space.to_spec({**space.encode(start), **dict.fromkeys(named, 0.0)}).edges == "target"
        assert space.to_spec({**space.encode(start), **dict.fromkeys(named, 1.0)}).graph.event_weight == 1.0


def test_an_event_may_have_a_gene_of_its_own_in_a_file() -> None:
    genes = {**GRAPHS["genes"], "event_weight.view": [0.1, 0.2], "event_weight.absent": [0.0, 1.0]}
    whole = SearchSpace.from_json({"genes": genes, "start": [{"layers": ["gcn"]}]})
    assert SearchSpace.from_json(whole.to_json()) == whole
    space = whole.families[GNN].restrict(logged(events=2, timed=False, features=False))
    named = {name: gene.choices for name, gene in space.genes.items() if name.startswith("event")}
    assert named == {"event_weight.cart": (0.0, 0.5, 1.0), "event_weight.view": (0.1, 0.2)}
    del genes["event_weight"]
    alone = SearchSpace.from_json({"genes": {**genes, "event_weight.view": [0.0, 0.2]}, "start": [{"layers": ["gcn"]}]})
    space = alone.families[GNN].restrict(logged(events=2, timed=False, features=False))
    viewed = GraphSpec(event_weight=(("view", 0.2),))
    values = space.encode(replace(space.starts[0], edges="all", graph=viewed))
    spec = space.to_spec({**values, "event_weight.view": 0.0})
    assert (spec.edges, spec.graph.weight_of("cart"), spec.graph.weight_of("view")) == ("all", 1.0, 0.0)


@pytest.mark.parametrize(
    ("genes", "start", "weights", "size"),
    [
        ({"event_weight": [0.0, 0.5]}, {"edges": "all", "graph": {"event_weight": 0.0}}, (0.0, 0.0), 8),
        ({"event_weight": [0.1, 0.3], "event_weight.view": [0.1, 0.2]}, {}, (0.1, 0.1), 8),
        ({"event_weight.view": {"low": 0.1, "high": 0.4}}, {}, (1.0, 0.4), 2),
        ({"event_weight": {"low": 0.1, "high": 0.4}, "edges": ["all", "target"]}, {"edges": "all"}, (0.4, 0.4), 4),
    ],
)
def test_on_data_of_several_events_the_start_stays_in_the_space(
    genes: dict[str, Any], start: dict[str, Any], weights: tuple[float, float], size: int
) -> None:
    genes = {"operator": ["lightgcn"], "num_layers": [1, 2], "edges": ["all"], **genes}
    raw = {"genes": genes, "start": [{"layers": ["lightgcn"], **start}]}
    space = SearchSpace.from_json(raw).families[GNN].restrict(logged(events=2, timed=False, features=False))
    assert space.size() == size  # a range counts once
    read = space.to_spec(space.encode(space.starts[0]))
    if any(weights):
        assert read.edges == "all"
        assert (read.graph.weight_of("cart"), read.graph.weight_of("view")) == weights
    else:
        assert read.edges == "target"


def test_a_start_has_the_graph_that_is_fixed_for_all() -> None:
    raw = {"genes": {"num_layers": [1], "operator": ["gcn"], "max_degree": [0, 5]}, "fixed": {"half_life": 0.3}}
    start = {"layers": ["gcn"]}
    space = SearchSpace.from_json({**raw, "start": [start, {**start, "graph": {"max_degree": 5}}]}).families[GNN]
    assert [one.graph for one in space.starts] == [GraphSpec(half_life=0.3), GraphSpec(half_life=0.3, max_degree=5)]


def test_closed_forms_alone_are_a_space() -> None:
    space = SearchSpace.from_json(CLOSED)
    assert set(space.families) == {"filter", "two-hop"}
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.families["two-hop"].is_finite
    assert not space.families["filter"].is_finite
    assert space.families["two-hop"].size() == 6


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


def test_a_file_is_read_as_the_same_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[genes]\nnum_layers = [1, 2]\n[fixed]\noperator = "gcn"\n[[start]]\nlayers = ["gcn"]\n')
    space = SearchSpace.load(path).families[GNN]
    assert isinstance(space, NetworkSpace)
    assert space.to_spec({"num_layers": 2}).layers == ("gcn", "gcn")
    assert space.size() == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"genes": {"num_layers": [1], "operater": ["gcn"]}}, r"mine: genes: unknown gene 'operater'.*'operator'"),
        ({"genes": {"num_layers": [1], "operator": ["lightgnc"]}}, r"mine: genes.operator: .*'lightgnc'.*'lightgcn'"),
        ({"genes": {"num_layers": {"low": 0, "high": 9}}}, r"genes.num_layers: 9 is no number of layers"),
        ({"genes": {"learning_rate": {"low": 1.0, "high": 0.5}}}, r"genes.learning_rate: .* is no range"),
        ({"genes": {"learning_rate": {"low": 0.1, "hihg": 0.5}}}, r"genes.learning_rate: unknown range key 'hihg'"),
        ({"genes": {"learning_rate": {"low": 0.1}}}, r"genes.learning_rate: learning_rate: None"),
        ({"genes": {"scorer": {"low": 1, "high": 2}}}, r"genes.scorer: scorer: 1 is not a str"),
        ({"genes": {"include_input": {"low": False, "high": True}}}, r"genes.include_input: a range of no numbers"),
        ({"genes": {"scorer": ["dot", "dot"]}}, r"genes.scorer: .* repeated"),
        ({"genes": {"scorer": []}}, r"genes.scorer: .* no or repeated"),
        ({"genes": {"scorer": "dot"}}, r"genes.scorer: 'dot' is neither"),
        ({"genes": {}}, r"mine: no genes"),
        ({"genes": {"num_layers": [1]}}, r"mine: operator is absent"),
        ({"genes": [1]}, r"mine: genes is no table"),
        ({"gene": {}}, r"mine: unknown section 'gene'"),
        ({"fixed": {"scorer": "dot"}}, r"mine: scorer is both a gene and fixed"),
        ({"fixed": {"half_life": 0.001}}, r"fixed.half_life: half_life: 0.001 is not within"),
        ({"fixed": {"event_weight.view": 11}}, r"fixed.event_weight.view: event_weight: 11.0 is not within 0..10"),
        ({"fixed": {"event_weight": {"view": 0.1}}}, r"fixed.event_weight: event_weight: .* is not one value"),
        ({"start": [{"graph": {"halflife": 1}}]}, r"mine: start: unknown field of a graph 'halflife'.*'half_life'"),
        (
            {"start": [{**TINY["start"][0], "graph": {"half_life": 0.5}}]},
            r"mine: start: graph: \{'half_life': 0.5\} is outside the space",
        ),
        ({"fixed": {"epochs": 0}}, r"fixed.epochs: epochs: 0 is below 1"),
        (
            {"genes": {**TINY["genes"], "learning_rate": {"low": 0.003, "high": float("inf")}}},
            r"genes.learning_rate: learning_rate: inf is no finite number above 0",
        ),
        (
            {"genes": {**TINY["genes"], "weight_decay": {"low": float("nan"), "high": 1.0}}},
            r"genes.weight_decay: weight_decay: nan is negative or not finite",
        ),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"]}, "fixed": {"temperature": float("nan")}},
            r"fixed.temperature: temperature: nan is no finite number above 0",
        ),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"], "dropout": [0.1, 2]}},
            r"genes.dropout: dropout: 2.0 is not",
        ),
        ({"genes": {"num_layers": [1], "operator": ["gcn"], "num_nodes": [4]}}, r"num_nodes: 4 is no number of nodes"),
        (
            {"genes": {"num_layers": [1], "operator": ["gat"], "heads": [1, 3]}},
            r"mine: 3 heads do not divide embedding_dim 8",
        ),
        ({"start": [{"layers": ["gat"]}]}, r"mine: start: layers: \['gat'\] is outside the space"),
        ({"fixed": {"dropout": 10**400}}, r"mine: fixed.dropout: dropout: a number of 401 digits"),
        (
            {"genes": {"num_layers": [1], "operator": ["gcn"], "batch_size": {"low": 1, "high": 10**10}}},
            r"mine: genes.batch_size: more than 100,000 whole numbers",
        ),
        ({"start": [{"leyers": ["gcn"]}]}, r"mine: start: unknown spec field 'leyers'"),
        ({"fliter": {}}, r"mine: unknown section 'fliter'.*did you mean 'filter'"),
        ({"filter": []}, r"mine: filter is no table"),
        ({"filter": {}}, r"mine: filter: no genes"),
        ({"filter": {"genes": {"rnak": [4]}}}, r"mine: filter: genes: unknown gene 'rnak'.*'rank'"),
        ({"filter": {"genes": {"rank": [0]}}}, r"mine: filter: genes.rank: rank: 0 is not within"),
        ({"filter": {"genes": {"rank": [4]}, "starts": []}}, r"mine: filter: unknown section 'starts'"),
        ({"filter": {"genes": {"rank": [4]}, "fixed": {"rank": 4}}}, r"mine: filter: rank is both a gene and fixed"),
        ({"filter": {"genes": {"rank": [4]}, "start": [{"rank": 5}]}}, r"mine: filter: start: rank: 5 is outside"),
        ({"filter": {"genes": {"strength": [10**400]}}}, r"mine: filter: genes.strength: strength: a number of 401"),
        ({"two-hop": {"genes": {"rank": [4]}}}, r"mine: two-hop: genes: unknown gene 'rank'"),
        (
            {"two-hop": {"genes": {"neighbours": {"low": 9, "high": 3}}}},
            r"mine: two-hop: genes.neighbours: .* no range",
        ),
        ({"popularity": {}}, r"mine: unknown section 'popularity'"),
    ],
)
def test_a_wrong_file_is_refused_by_key(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        SearchSpace.from_json({**TINY, **changes}, source="mine")


def test_unknown_and_absent_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown space 'standrad' .*'standard'"):
        SearchSpace.load("standrad")
    with pytest.raises(ConfigError, match="no such space file"):
        SearchSpace.load(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    for text in ("[genes", f"epochs = {'9' * 5000}"):
        broken.write_text(text)
        with pytest.raises(ConfigError, match=r"broken.toml: not TOML"):
            SearchSpace.load(broken)


@pytest.mark.parametrize("genes", [{"event_weight": [0.0, 0.5]}, {"event_weight.cart": [0.0, 2.0], "half_life": [0.3]}])
def test_the_target_alone_may_be_said_by_weights(genes: dict[str, Any]) -> None:
    """Where ``edges`` says all, events that weigh nothing are none."""
    raw = {"genes": {"num_layers": [1], "operator": ["gcn"], "edges": ["all"], **genes}}
    start = {"layers": ["gcn"], "edges": "target", "graph": {"half_life": 0.3} if "half_life" in genes else {}}
    space = SearchSpace.from_json({**raw, "start": [start]}).families[GNN]
    spec = space.to_spec(space.encode(space.starts[0]))
    assert spec == space.starts[0].canonical()
    assert spec.edges == "target"
    assert space.size() == counted(space) == 2
