"""Users and items that no message reaches: what a network knows of them, and where they stand in lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from communities import SMALL, make_communities

from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.interactions import FeatureTable
from gnas_search.evaluate import Validation
from gnas_search.heads import Cosine
from gnas_search.selection import fit_selected
from gnas_search.trainer import Trainer

USERS, ITEMS, TAGS, COLD = 200, 150, 12, 24


def tagged() -> tuple[InteractionGraph, np.ndarray]:
    """Users who like three tags each, items of one tag each, the first of which nobody has met; and who likes which."""
    rng = np.random.default_rng(1)
    tag = np.arange(ITEMS) % TAGS
    likes = np.zeros((USERS, TAGS), dtype=bool)
    dense = np.zeros((USERS, ITEMS), np.float32)
    for user in range(USERS):
        likes[user, rng.choice(TAGS, 3, replace=False)] = True
        dense[user, rng.choice(np.flatnonzero(likes[user, tag]), 10, replace=False)] = 1.0
    dense[:, :COLD] = 0.0
    positives = sp.csr_matrix(dense)
    features = FeatureTable(tuple(map(str, range(TAGS))), np.eye(TAGS, dtype=np.float32)[tag])
    return InteractionGraph(positives, positives, item_features=features), likes[:, tag[:COLD]]


def test_a_zero_vector_has_a_gradient_of_ordinary_size() -> None:
    users, items = torch.zeros((2, 3), requires_grad=True), torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    scaled, others = Cosine(3, torch.Generator())(users, items)
    torch.testing.assert_close(others, torch.tensor([[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]))
    (scaled @ others.T).sum().backward()
    torch.testing.assert_close(users.grad, torch.tensor([[0.6, 0.0, 0.8]] * 2))


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
@pytest.mark.parametrize("layers", [(), ("sage_mean",)])
def test_features_rank_items_that_nobody_has_met(loss: str, layers: tuple[str, ...]) -> None:
    """By the cosine, too: an item without edges starts as a zero vector."""
    graph, liked = tagged()
    spec = replace(SMALL, layers=layers, features=True, include_input=True, scorer="cosine", loss=loss)
    trainer = Trainer(replace(spec, epochs=20, embedding_dim=16, num_negatives=64), graph, seed=0)
    trainer.advance(20)
    users, items = trainer.vectors()
    scores = users @ items[:COLD].T
    above = [(one[mine][:, None] > one[~mine]).mean() for one, mine in zip(scores, liked, strict=True)]
    assert np.mean(above) > 0.85


@pytest.mark.parametrize("loss", ["alignment_uniformity", "in_batch"])
@pytest.mark.parametrize("scorer", ["cosine", "dot"])
def test_items_that_nothing_moved_stand_in_no_list(loss: str, scorer: str) -> None:
    graph, _ = tagged()
    spec = replace(SMALL, layers=("lightgcn",), init="random", loss=loss, scorer=scorer, include_input=True, epochs=8)
    trainer = Trainer(replace(spec, embedding_dim=16), graph, seed=0)
    trainer.advance(8)
    users, items = trainer.vectors()
    assert not items[:COLD].any()
    assert items[COLD:].any(axis=1).all()
    top = np.argsort(-np.where(graph.positives.toarray() > 0, -np.inf, users @ items.T), axis=1)[:, :20]
    assert (top < COLD).mean() < 0.01


@pytest.mark.parametrize("layers", [(), ("lightgcn", "lightgcn"), ("sage_mean",)])
def test_a_network_is_selected_by_the_vectors_that_it_keeps(layers: tuple[str, ...]) -> None:
    """Half of the validation users have no edge, as a given split may have it."""
    dataset = make_communities()
    dense = dataset.selection.positives.toarray()
    dense[:60] = 0.0
    positives = sp.csr_matrix(dense)
    graph = InteractionGraph(positives, positives)
    validation = Validation(positives, dataset.valid, max_users=None, seed=0)
    spec = replace(SMALL, layers=layers, include_input=True, init="random")
    found = fit_selected(spec, graph, validation, seed=0)
    np.testing.assert_array_equal(found.metrics.ndcg, validation.score_with(found.fit.score_rows(positives)).ndcg)
