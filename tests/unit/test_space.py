"""SearchSpace: every point of every family is a valid spec, and is found again from it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_spaces import CLOSED, ODD, SPACES, family_of_tiny, gene_values, odd_space

from gnas_search.layer_spec import LayerSpec
from gnas_search.space import FamilySpace, SearchSpace, Value
from gnas_search.specs import FAMILIES, GNN, kind_of, read_spec


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


@pytest.mark.parametrize("genes", ODD, ids=lambda genes: "-".join(list(genes)[2:] or ["plain"]))
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_a_point_reads_as_is_encoded(genes: dict[str, Any], data: st.DataObject) -> None:
    space = odd_space(genes)
    spec = space.to_spec({name: data.draw(gene_values(gene)) for name, gene in space.genes.items()})
    assert space.to_spec(space.encode(spec)) == spec


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


def test_there_are_genes_for_the_layers_that_a_space_can_have() -> None:
    for depth in (1, 2):
        raw = {
            "genes": {"num_layers": {"low": 0, "high": depth}, "operator": ["gcn", "gat"]},
            "start": [{"layers": []}],
        }
        space = SearchSpace.from_json(raw).families[GNN]
        assert sorted(space.genes) == [*(f"layer.{layer}" for layer in range(depth)), "num_layers"]


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


def test_closed_forms_alone_are_a_space() -> None:
    space = SearchSpace.from_json(CLOSED)
    assert set(space.families) == {"filter", "two-hop"}
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.families["two-hop"].is_finite
    assert not space.families["filter"].is_finite
    assert space.families["two-hop"].size() == 6
