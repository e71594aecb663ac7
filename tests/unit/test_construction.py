"""The graph of a network: what its edges weigh, which are left out and added, against plain counting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_search.architecture import ArchitectureSpec
from gnas_search.construction import constructed, construction_bytes, edge_counts, item_links
from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.edge_log import EdgeLog
from gnas_search.graph_spec import GraphSpec
from gnas_search.operators.adjacency import Adjacency, normalised
from gnas_serve.errors import ConfigError

NUM_USERS, NUM_ITEMS = 12, 9
OTHERS = ("cart", "view")


def planted(seed: int = 0, *, timed: bool = True) -> tuple[InteractionGraph, np.ndarray]:
    """A graph of three events, and the age of each (event, user, item), NaN where there is none."""
    rng = np.random.default_rng(seed)
    ages = rng.random((3, NUM_USERS, NUM_ITEMS)).astype(np.float32)
    ages[rng.random(ages.shape) < [[[0.7]], [[0.8]], [[0.5]]]] = np.nan
    there = ~np.isnan(ages)
    edges = sp.csr_matrix(there.any(axis=0).astype(np.float32))
    users, items, codes = (axis.ravel() for axis in np.nonzero(there.transpose(1, 2, 0)))
    places = np.searchsorted(np.flatnonzero(there.any(axis=0)), users * NUM_ITEMS + items).astype(np.int32)
    log = EdgeLog(OTHERS, places, codes.astype(np.int8), ages[codes, users, items] if timed else None)
    return InteractionGraph(sp.csr_matrix(there[0].astype(np.float32)), edges, log=log), ages


def weights_of(ages: np.ndarray, by_event: tuple[float, float, float], half_life: float) -> np.ndarray:
    """The largest weight of any event of an edge."""
    decay = 0.5 ** (ages / half_life) if half_life else np.ones_like(ages)
    return np.max(np.where(np.isnan(ages), 0.0, np.array(by_event)[:, None, None] * decay), axis=0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.1, 0.7]),
)
def test_edges_weigh_what_their_events_and_ages_say(seed: int, cart: float, view: float, half_life: float) -> None:
    graph, ages = planted(seed)
    said = GraphSpec(event_weight=(("cart", cart), ("view", view)), half_life=half_life)
    built = constructed(ArchitectureSpec(edges="all", graph=said), graph).interactions
    np.testing.assert_allclose(built.toarray(), weights_of(ages, (1.0, cart, view), half_life), rtol=1e-5)
    assert built.has_sorted_indices
    assert (built.data > 0).all()
    target = constructed(ArchitectureSpec(edges="target", graph=GraphSpec(half_life=half_life)), graph).interactions
    np.testing.assert_allclose(target.toarray(), weights_of(ages, (1.0, 0.0, 0.0), half_life), rtol=1e-5)


def test_edges_of_any_age_carry_messages() -> None:
    """The final fit of a log whose later part is long has ages of hundreds of the selection fit's spans."""
    positives = sp.csr_matrix(np.ones((2, 3), np.float32))
    ages = np.array([-3.0, 0.0, 1.0, 40.0, 900.0, 900.0], np.float32)
    said = ArchitectureSpec(graph=GraphSpec(half_life=0.1))
    built = constructed(said, InteractionGraph(positives, positives, log=EdgeLog((), None, None, ages, 800.0)))
    weights = built.interactions.data
    np.testing.assert_allclose(weights[:3], [1.0, 1.0, 2.0**-10], rtol=1e-5)
    assert (weights[3:] == np.float32(2.0**-50)).all()
    adjacency = Adjacency(built.interactions)
    for values in (adjacency.symmetric.values, adjacency.mean.values, normalised(built.interactions).values):
        assert np.isfinite(values).all()
        assert (values > 0).all()
    early = constructed(said, InteractionGraph(positives, positives, log=EdgeLog((), None, None, ages, 2.0)))
    np.testing.assert_allclose(early.interactions.data[3:], 2.0**-20, rtol=1e-5)  # no older than what counts as oldest


def test_one_weight_is_of_every_other_event() -> None:
    graph, ages = planted()
    one = constructed(ArchitectureSpec(edges="all", graph=GraphSpec(event_weight=0.25)), graph).interactions
    np.testing.assert_allclose(one.toarray(), weights_of(ages, (1.0, 0.25, 0.25), 0.0))


@pytest.mark.parametrize("edges", ["all", "target"])
def test_by_default_the_interactions_are_taken_as_they_are(edges: str) -> None:
    graph, _ = planted()
    built = constructed(ArchitectureSpec(edges=edges, graph=GraphSpec(edge_weights="uniform")), graph)
    assert built.interactions is (graph.edges if edges == "all" else graph.positives)
    assert built.links is None


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("most", [1, 3])
def test_each_user_keeps_the_latest_edges_or_those_of_the_rarest_items(most: int, timed: bool) -> None:
    graph, ages = planted(timed=timed)
    said = GraphSpec(event_weight=(("view", 0.0),), max_degree=most)
    weights = weights_of(ages, (1.0, 1.0, 0.0), 0.0)
    built = constructed(ArchitectureSpec(edges="all", graph=said), graph).interactions.toarray()
    newest = np.nanmin(np.where(np.isnan(ages[:2]), np.inf, ages[:2]), axis=0)
    rank = newest if timed else np.broadcast_to((weights > 0).sum(axis=0), weights.shape)
    for user in range(NUM_USERS):
        items = np.flatnonzero(weights[user])
        kept = items[np.argsort(rank[user, items], kind="stable")[:most]]
        np.testing.assert_array_equal(np.flatnonzero(built[user]), np.sort(kept))


def test_items_are_linked_by_the_cosine_of_their_users() -> None:
    graph, _ = planted()
    dense = graph.edges.toarray()
    cosine = dense.T @ dense / np.sqrt(np.outer(dense.sum(0), dense.sum(0)))
    np.fill_diagonal(cosine, 0.0)
    links = item_links(graph.edges, NUM_ITEMS)
    np.testing.assert_allclose(links.toarray(), cosine, rtol=1e-5)
    few = item_links(graph.edges, 2).toarray()
    np.testing.assert_array_equal(few, few.T)
    for item in range(NUM_ITEMS):
        strongest = np.sort(cosine[item])[-2]
        assert (few[item] >= strongest - 1e-6).sum() >= 2
    np.testing.assert_allclose(few[few > 0], cosine[few > 0], rtol=1e-5)


def test_links_are_of_the_edges_before_pruning() -> None:
    graph, _ = planted()
    said = ArchitectureSpec(edges="all", graph=GraphSpec(cooccurrence=3, max_degree=1))
    built = constructed(said, graph)
    assert built.links is not None
    np.testing.assert_array_equal(built.links.toarray(), item_links(graph.edges, 3).toarray())
    assert np.diff(built.interactions.indptr).max() == 1


def test_counts_bound_what_is_built() -> None:
    graph, _ = planted()
    for said in (GraphSpec(), GraphSpec(max_degree=2), GraphSpec(cooccurrence=2), GraphSpec(0.5, 0.3, 4, 2)):
        spec = ArchitectureSpec(edges="all", graph=said)
        edges, links = edge_counts(spec, graph)
        built = constructed(spec, graph)
        assert built.interactions.nnz == edges
        assert (0 if built.links is None else built.links.nnz) <= links
        assert (construction_bytes(spec, graph) > 0) == (said != GraphSpec())
    assert edge_counts(replace(spec, graph=GraphSpec(event_weight=0.0)), graph)[0] == graph.edges.nnz


def test_no_edges_at_all() -> None:
    empty = sp.csr_matrix((3, 2), dtype=np.float32)
    nothing = EdgeLog(("view",), np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.float32))
    built = constructed(
        ArchitectureSpec(edges="all", graph=GraphSpec(0.5, 0.3, 4, 2)), InteractionGraph(empty, empty, log=nothing)
    )
    assert built.interactions.nnz == 0
    assert built.links is not None
    assert built.links.nnz == 0
    assert nothing.bringing() == ()


def test_what_the_data_does_not_have_is_refused() -> None:
    graph, _ = planted(timed=False)
    with pytest.raises(ConfigError, match=r"unknown event_weight of event 'veiw'.*'view'"):
        constructed(ArchitectureSpec(edges="all", graph=GraphSpec(event_weight=(("veiw", 0.5),))), graph)
    aged = ArchitectureSpec(graph=GraphSpec(half_life=0.5))
    for one in (graph, replace(graph, log=None)):
        with pytest.raises(ConfigError, match=r"half_life: 0.5 where interactions have no timestamps") as caught:
            constructed(aged, one)
        assert "--timestamp-column" in str(caught.value.hint)
