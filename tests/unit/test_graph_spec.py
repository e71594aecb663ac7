"""GraphSpec and the fields beside it: JSON, canonical forms, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_search.architecture import ArchitectureSpec
from gnas_search.graph_spec import GraphSpec
from gnas_serve.errors import ConfigError

OLD = {
    "gnn-28f40a03d2": ArchitectureSpec(),
    "gnn-36883f0a0f": ArchitectureSpec(
        layers=("lightgcn",) * 3, loss="softmax", edges="all", embedding_dim=128, batch_size=1024
    ),
}
"""Keys that studies and checkpoints of earlier versions have."""

WEIGHTS = st.one_of(
    st.floats(0, 10),
    st.dictionaries(st.sampled_from(["cart", "view"]), st.sampled_from([0.0, 0.5, 1.0]), min_size=1).map(
        lambda drawn: tuple(sorted(drawn.items()))
    ),
)
GRAPHS = st.builds(
    GraphSpec,
    event_weight=WEIGHTS,
    half_life=st.sampled_from([0.0, 0.02, 1.5]),
    cooccurrence=st.integers(0, 1000),
    max_degree=st.integers(0, 99),
    edge_weights=st.sampled_from(["symmetric", "uniform"]),
)


@given(GRAPHS, st.booleans())
def test_survives_json_and_is_canonical_once(graph: GraphSpec, features: bool) -> None:
    spec = ArchitectureSpec(graph=graph, edges="all", features=features)
    assert ArchitectureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.canonical().canonical() == spec.canonical()
    assert spec.summary()


def test_old_specs_have_their_keys_and_json() -> None:
    for key, spec in OLD.items():
        assert spec.key() == key
        assert not {"graph", "features"} & set(spec.to_json())
        assert ArchitectureSpec.from_json(spec.to_json()) == spec


def test_a_spec_by_hand() -> None:
    raw = {"edges": "all", "graph": {"event_weight": {"view": 0.2, "cart": 1}, "half_life": 1}, "features": True}
    spec = ArchitectureSpec.from_json(raw)
    assert spec.graph == GraphSpec((("cart", 1.0), ("view", 0.2)), half_life=1.0)
    assert (spec.graph.weight_of("view"), spec.graph.weight_of("other")) == (0.2, 1.0)
    assert spec.canonical().graph.named_weights == (("view", 0.2),)
    for said in ("view 0.2", "half_life 1", "features"):
        assert said in spec.summary()
    assert "other events 0.3, max_degree 5, uniform" in GraphSpec(0.3, max_degree=5, edge_weights="uniform").summary()


ALL = ArchitectureSpec(edges="all")
FULL = GraphSpec(0.5, 0.3, 5, 10, "uniform")


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        (replace(ALL, graph=GraphSpec(event_weight=0.0)), replace(ALL, edges="target")),
        (replace(ALL, edges="target", graph=GraphSpec(event_weight=0.5)), replace(ALL, edges="target")),
        (replace(ALL, graph=GraphSpec(event_weight=(("view", 1.0),))), ALL),
        (
            replace(ALL, layers=("gin", "gat", "sage_mean"), graph=FULL),
            replace(ALL, layers=("gin", "gat", "sage_mean"), graph=replace(FULL, edge_weights="symmetric")),
        ),
        (replace(ALL, layers=(), init="random", graph=FULL), replace(ALL, layers=(), init="random", edges="target")),
        (replace(ALL, layers=(), graph=FULL), replace(ALL, layers=(), graph=GraphSpec(0.5, 0.3, 0, 10))),
    ],
)
def test_equal_models_have_one_key(spec: ArchitectureSpec, same: ArchitectureSpec) -> None:
    assert spec.key() == same.key()


@pytest.mark.parametrize(
    "spec",
    [
        replace(ALL, graph=GraphSpec(event_weight=0.5)),
        replace(ALL, graph=GraphSpec(edge_weights="uniform")),
        replace(ALL, features=True),
        replace(ALL, layers=(), graph=GraphSpec(max_degree=5)),
        replace(ALL, layers=()),
    ],
)
def test_what_has_an_effect_has_a_key(spec: ArchitectureSpec) -> None:
    """The edges of an SVD matter without layers, too."""
    assert spec.key() != replace(spec, graph=GraphSpec(), features=False, edges="target").key()
    assert spec.key() != ALL.key()


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ([], r"graph: \[\] is no object"),
        ({"halflife": 1}, r"unknown field of a graph 'halflife' .*'half_life'"),
        ({"half_life": 0.01}, r"half_life: 0.01 is not within 0.02..100"),
        ({"half_life": float("nan")}, r"half_life: nan is not within"),
        ({"half_life": True}, r"half_life: True is not a float"),
        ({"event_weight": 11}, r"event_weight: 11.0 is not within 0..10"),
        ({"event_weight": {"view": -1}}, r"event_weight of view: -1.0 is not within 0..10"),
        ({"event_weight": {}}, r"event_weight: names no event"),
        ({"event_weight": {"view": "much"}}, r"event_weight: 'much' is not a float"),
        ({"cooccurrence": -1}, r"cooccurrence: -1 is not within 0..1000"),
        ({"max_degree": 1.5}, r"max_degree: 1.5 is not a int"),
        ({"edge_weights": "even"}, r"unknown edge_weights 'even'"),
    ],
)
def test_what_is_no_graph_is_refused(graph: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        ArchitectureSpec.from_json({"graph": graph})


def test_features_are_a_choice() -> None:
    with pytest.raises(ConfigError, match="features: 1 is not a bool"):
        ArchitectureSpec.from_json({"features": 1})
