"""One layer as a spec: what is equal, what it is called, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_search.layer_spec import ACTIVATIONS, NORMALISATIONS, OPERATOR_NAMES, LayerSpec
from gnas_serve.errors import ConfigError


@st.composite
def layers(draw: st.DrawFn) -> LayerSpec:
    count = draw(st.integers(1, 3))
    nodes = tuple((draw(st.sampled_from(OPERATOR_NAMES)), draw(st.integers(0, place))) for place in range(count))
    return LayerSpec(
        nodes,
        draw(st.sampled_from(ACTIVATIONS)),
        draw(st.sampled_from(NORMALISATIONS)),
        draw(st.sampled_from([0.0, 0.5])),
        draw(st.booleans()),
    )


@given(layers())
@settings(max_examples=200, deadline=None)
def test_json_reads_as_the_same_layer_and_canonical_stays_canonical(layer: LayerSpec) -> None:
    assert LayerSpec.from_json(json.loads(json.dumps(layer.to_json()))) == layer
    canonical = LayerSpec.of(layer.canonical())
    assert LayerSpec.of(canonical.canonical()) == canonical
    assert canonical.resolved_activation == layer.resolved_activation
    assert canonical.has_weights == layer.has_weights


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("gat", 0), ("gcn", 0)), (("gcn", 0), ("gat", 0))),
        ((("skip", 0), ("gcn", 1)), (("gcn", 0),)),
        ((("gcn", 0), ("skip", 1)), (("gcn", 0),)),
        ((("skip", 0), ("skip", 1), ("gat", 2)), (("gat", 0),)),
        ((("gcn", 0), ("gat", 0), ("gin", 1)), (("gat", 0), ("gcn", 0), ("gin", 2))),
        ((("skip", 0), ("gcn", 1), ("gat", 0)), (("gat", 0), ("gcn", 0))),
    ],
)
def test_equal_cells_have_one_form(one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]) -> None:
    assert LayerSpec(one).canonical() == LayerSpec(other).canonical()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("gcn", 0), ("gat", 1)), (("gat", 0), ("gcn", 1))),
        ((("gcn", 0), ("gat", 1)), (("gcn", 0), ("gat", 0))),
        ((("gcn", 0), ("skip", 0)), (("gcn", 0),)),
        ((("gcn", 0), ("gat", 1), ("skip", 1)), (("gcn", 0), ("gat", 1))),
    ],
)
def test_other_cells_do_not(one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]) -> None:
    assert LayerSpec(one).canonical() != LayerSpec(other).canonical()


def test_a_plain_layer_is_its_operators_name() -> None:
    assert LayerSpec.of("gcn").canonical() == LayerSpec.of("gcn").to_json() == "gcn"
    assert LayerSpec((("gcn", 0),), activation="leaky_relu").canonical() == "gcn"
    assert LayerSpec((("lightgcn", 0),), activation="none").canonical() == "lightgcn"
    assert LayerSpec((("gcn", 0),), activation="none").canonical() != "gcn"


def test_summaries() -> None:
    assert LayerSpec.of("gcn").summary() == "gcn"
    cell = LayerSpec((("gcn", 0), ("gat", 1), ("skip", 1)), "relu", "layer", 0.25, residual=True)
    assert cell.summary() == "gcn > (gat + skip), relu, layer norm, dropout 0.25, residual"
    assert LayerSpec((("gcn", 0), ("gat", 0)), "none").summary() == "gat + gcn, linear"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (3, "3 is no layer"),
        ("gnc", "unknown operator 'gnc'"),
        ({}, "either an operator or a cell"),
        ({"operator": "gcn", "cell": [["gcn", 0]]}, "either an operator or a cell"),
        ({"operator": ["gcn"]}, "is no name"),
        ({"operator": "gcn", "drop": 0.1}, "unknown field of a layer 'drop'"),
        ({"operator": "gcn", "dropout": 0.95}, r"dropout: 0.95 is not within 0..0.9"),
        ({"operator": "gcn", "dropout": float("nan")}, "dropout: nan"),
        ({"operator": "gcn", "dropout": True}, "dropout: True is not a float"),
        ({"operator": "gcn", "residual": 1}, "residual: 1 is not a bool"),
        ({"operator": "gcn", "activation": "rleu"}, "unknown activation 'rleu'"),
        ({"operator": "gcn", "normalisation": "group"}, "unknown normalisation 'group'"),
        ({"cell": []}, "cell: 0 nodes"),
        ({"cell": [["gcn", 0]] * 4}, "cell: 4 nodes"),
        ({"cell": [["gcn", 1]]}, "cell: node 1 reads node 1"),
        ({"cell": [["gcn", -1]]}, "cell: node 1 reads node -1"),
        ({"cell": [["gcn", 0.5]]}, "is no list of nodes"),
        ({"cell": "gcn"}, "is no list of nodes"),
    ],
)
def test_what_is_no_layer_is_refused_by_name(raw: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayerSpec.from_json(raw)
