"""SearchSpace: every point of every family is a valid spec; files are checked by name; the families take turns."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import DatasetConfig
from gnas_search.space import FamilySpace, NetworkSpace, SearchSpace, Value
from gnas_search.specs import FAMILIES, GNN, kind_of, read_spec
from gnas_serve.errors import ConfigError
from gnas_serve.vocabulary import Vocabulary

SPACES = {name: SearchSpace.load(name) for name in ("quick", "standard")}
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


@given(points())
def test_encode_gives_a_point_that_reads_as_the_same_spec(point: tuple[FamilySpace, dict[str, Value]]) -> None:
    space, values = point
    spec = space.to_spec(values)
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
    values = space.encode(replace(space.starts[0], layers=(), scorer="dot", loss="bpr"))
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
    names = list(space.genes)
    every = itertools.product(
        *(
            gene.choices if isinstance(gene, CategoricalDistribution) else range(gene.low, gene.high + 1)
            for gene in space.genes.values()
        )
    )
    distinct = {space.to_spec(dict(zip(names, values, strict=True))) for values in every}
    assert space.size() == len(distinct)


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


def test_closed_forms_alone_are_a_space() -> None:
    space = SearchSpace.from_json(CLOSED)
    assert set(space.families) == {"filter", "two-hop"}
    assert SearchSpace.from_json(space.to_json()) == space
    assert space.families["two-hop"].is_finite
    assert not space.families["filter"].is_finite
    assert space.families["two-hop"].size() == 6


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
        ({"fixed": {"epochs": 0}}, r"fixed.epochs: epochs: 0 is below 1"),
        ({"start": [{"layers": ["gat"]}]}, r"mine: start: layers: \['gat'\] is outside the space"),
        ({"start": [{"leyers": ["gcn"]}]}, r"mine: start: unknown spec field 'leyers'"),
        ({"fliter": {}}, r"mine: unknown section 'fliter'.*did you mean 'filter'"),
        ({"filter": []}, r"mine: filter is no table"),
        ({"filter": {}}, r"mine: filter: no genes"),
        ({"filter": {"genes": {"rnak": [4]}}}, r"mine: filter: genes: unknown gene 'rnak'.*'rank'"),
        ({"filter": {"genes": {"rank": [0]}}}, r"mine: filter: genes.rank: rank: 0 is not within"),
        ({"filter": {"genes": {"rank": [4]}, "starts": []}}, r"mine: filter: unknown section 'starts'"),
        ({"filter": {"genes": {"rank": [4]}, "fixed": {"rank": 4}}}, r"mine: filter: rank is both a gene and fixed"),
        ({"filter": {"genes": {"rank": [4]}, "start": [{"rank": 5}]}}, r"mine: filter: start: rank: 5 is outside"),
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
    broken.write_text("[genes")
    with pytest.raises(ConfigError, match=r"broken.toml: not TOML"):
        SearchSpace.load(broken)
