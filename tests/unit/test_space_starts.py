"""Starts of a space: the models that a search begins with are in it, and what they leave out is as usual or near."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from toy_spaces import counted

from gnas_search.architecture import ArchitectureSpec
from gnas_search.graph_spec import GraphSpec
from gnas_search.layer_spec import LayerSpec
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN
from gnas_serve.errors import ConfigError


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


def test_a_start_has_the_graph_that_is_fixed_for_all() -> None:
    raw = {"genes": {"num_layers": [1], "operator": ["gcn"], "max_degree": [0, 5]}, "fixed": {"half_life": 0.3}}
    start = {"layers": ["gcn"]}
    space = SearchSpace.from_json({**raw, "start": [start, {**start, "graph": {"max_degree": 5}}]}).families[GNN]
    assert [one.graph for one in space.starts] == [GraphSpec(half_life=0.3), GraphSpec(half_life=0.3, max_degree=5)]


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
