"""A space restricted to its data: what the data cannot tell apart is no gene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from toy_spaces import CLOSED, TINY, counted

from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.edge_log import EdgeLog
from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_search.graph_spec import GraphSpec
from gnas_search.space import SearchSpace
from gnas_search.specs import GNN
from gnas_serve.vocabulary import Vocabulary

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
