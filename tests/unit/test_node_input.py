"""Features as input: a linear map that is learned, kept apart per side, and all that a node without edges has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from communities import NUM_ITEMS, NUM_USERS, SMALL, make_communities

from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import FeatureTable
from gnas_search.evaluate import validation_of
from gnas_search.graph_spec import GraphSpec
from gnas_search.model import GraphRecommender
from gnas_search.node_input import FeatureInput
from gnas_search.train import fit_selected
from gnas_search.trainer import Trainer
from gnas_serve.errors import ConfigError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Items and users with the community that each is of, as three columns."""
    made = make_communities()
    items, users = (
        FeatureTable(("a", "b", "c"), np.eye(3, dtype=np.float32)[np.arange(count) % 3])
        for count in (NUM_ITEMS, NUM_USERS)
    )
    graph = replace(made.selection, item_features=items, user_features=users)
    return replace(made, selection=graph, item_features=items, user_features=users)


def test_the_input_is_embedding_and_map(dataset: Dataset) -> None:
    table = FeatureTable(("x", "y"), np.random.default_rng(0).normal(3.0, 5.0, (NUM_ITEMS, 2)).astype(np.float32))
    given = FeatureInput(replace(dataset.selection, item_features=table, user_features=None), 8)
    embeddings = torch.randn((NUM_USERS + NUM_ITEMS, 8), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(given(embeddings), embeddings, rtol=0, atol=0)
    with torch.no_grad():
        given.by_item.copy_(torch.randn((2, 8), generator=torch.Generator().manual_seed(1)))
    scaled = table.values / np.sqrt((table.values**2).sum(axis=1).mean())
    moved = given(embeddings) - embeddings
    torch.testing.assert_close(moved[NUM_USERS:], torch.from_numpy(scaled) @ given.by_item, rtol=1e-4, atol=1e-4)
    assert not moved[:NUM_USERS].any()


def test_training_starts_as_without_and_learns_the_maps(dataset: Dataset) -> None:
    spec = replace(SMALL, features=True)
    trainer, plain = (Trainer(one, dataset.selection, seed=0) for one in (spec, SMALL))
    for ours, others in zip(trainer.vectors(), plain.vectors(), strict=True):
        np.testing.assert_array_equal(ours, others)
    trainer.advance(2)
    maps = {name: weight for name, weight in trainer._model.named_parameters() if name.startswith("features.")}
    assert set(maps) == {"features.by_item", "features.by_user"}
    assert all(weight.abs().max() > 0 for weight in maps.values())


@pytest.mark.parametrize("layers", [(), ("lightgcn",)])
def test_whom_no_edge_reaches_is_known_by_features(layers: tuple[str, ...], dataset: Dataset) -> None:
    """User 0 and item 0 lose every edge: what the fit knows of them is of their community."""
    matrix = dataset.selection.positives.tolil()
    matrix[0] = 0
    matrix[:, 0] = 0
    positives = sp.csr_matrix(matrix)
    graph = replace(dataset.selection, positives=positives, edges=positives)
    spec = replace(SMALL, layers=layers, features=True, include_input=True, scorer="cosine", epochs=12)
    fit = fit_selected(spec, graph, validation_of(dataset), seed=0).fit
    assert fit.knows(graph.positives)[0]
    scores = fit.user_vectors[0] @ fit.item_vectors.T
    own, others = scores[0::3].mean(), np.concatenate([scores[1::3], scores[2::3]]).mean()
    assert own > others + 0.03
    users = fit.user_vectors @ fit.item_vectors[0]
    assert users[0::3].mean() > np.concatenate([users[1::3], users[2::3]]).mean() + 0.03
    without = fit_selected(replace(spec, features=False), graph, validation_of(dataset), seed=0).fit
    assert not without.knows(graph.positives)[0]


def test_data_without_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="features: neither items nor users have any"):
        Trainer(replace(SMALL, features=True), make_communities().selection, seed=0)


@pytest.mark.parametrize("layers", [("lightgcn", "low_pass"), ("gcn", "gat")])
@pytest.mark.parametrize("edge_weights", ["symmetric", "uniform"])
def test_a_whole_training_over_a_built_graph(layers: tuple[str, ...], edge_weights: str, dataset: Dataset) -> None:
    """Training's way through and the exact one agree, with features, links, pruning and dropped edges."""
    said = GraphSpec(cooccurrence=5, max_degree=10, edge_weights=edge_weights)
    spec = replace(SMALL, layers=layers, graph=said, edge_dropout=0.3, features=True)
    trainer = Trainer(spec, dataset.selection, seed=0)
    trainer.advance(2)
    assert np.isfinite(trainer.loss)
    model = GraphRecommender(replace(spec, edge_dropout=0.0), dataset.selection, seed=0)
    exact, trained = model(), model(torch.arange(NUM_USERS))
    for one, other in zip(exact, trained, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-2)


def test_links_are_dropped_in_both_directions(dataset: Dataset) -> None:
    spec = replace(SMALL, graph=GraphSpec(cooccurrence=5), edge_dropout=0.5)
    model = GraphRecommender(spec, dataset.selection, seed=0)
    model.thin(np.random.default_rng(0))
    shares = []
    for adjacency in (model.adjacency, model._thinned):
        dense = adjacency.sum.multiply(torch.eye(adjacency.num_nodes))
        torch.testing.assert_close(dense, dense.T)
        shares.append([int((dense[:, :NUM_USERS] > 0).sum()), int((dense[NUM_USERS:, NUM_USERS:] > 0).sum())])
    kept = np.array(shares[1]) / np.array(shares[0])
    assert ((kept > 0.4) & (kept < 0.6)).all()


def test_a_graph_without_log_is_what_it_was(dataset: Dataset) -> None:
    bare = InteractionGraph(dataset.selection.positives, dataset.selection.edges)
    for spec in (SMALL, replace(SMALL, edges="all", layers=("gat",))):
        one, other = (Trainer(spec, graph, seed=0).vectors()[1] for graph in (bare, dataset.selection))
        np.testing.assert_array_equal(one, other)
