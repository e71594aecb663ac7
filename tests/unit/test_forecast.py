"""A forecast grows as training does and is near what training takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from random_graph import random_graph

from gnas_search.architecture import LOSSES, ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.interactions import FeatureTable
from gnas_search.footprint import network_bytes
from gnas_search.forecast import forecast
from gnas_search.graph_spec import GraphSpec
from gnas_search.layer_spec import OPERATOR_NAMES
from gnas_search.trainer import Trainer

SPEC = ArchitectureSpec(embedding_dim=32, init="random", num_negatives=512)


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    return random_graph(4000, 3000)


@pytest.mark.parametrize("loss", LOSSES)
def test_within_a_small_factor_of_what_is_measured(loss: str, graph: InteractionGraph) -> None:
    """Only a factor here: the test's machine is small, shared and briefly measured; tests/bench/growth.py says more."""
    spec = replace(SPEC, loss=loss)
    expected = forecast(spec, graph)
    trainer = Trainer(spec, graph, seed=0)
    measured = []
    for _ in range(3):
        trainer.advance(1)
        measured.append(trainer.epoch_s)
    assert min(measured) / 20 < expected.epoch_s < max(measured) * 20
    assert trainer.peak_bytes / 3 < expected.peak_bytes < trainer.peak_bytes * 3


@pytest.mark.parametrize("operator", OPERATOR_NAMES)
@pytest.mark.parametrize("combination", ["mean", "concat"])
def test_every_architecture_has_one(operator: str, combination: str, graph: InteractionGraph) -> None:
    spec = replace(SPEC, layers=(operator,), combination=combination, include_input=True)
    found = forecast(spec, graph)
    assert found.epoch_s > 0
    assert found.peak_bytes > network_bytes(spec, graph)


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that is timed take one second, so that a forecast counts what it multiplies by."""
    monkeypatch.setattr("gnas_search.timings._timed", lambda *_: 1.0)


@pytest.mark.usefixtures("a_second_each")
def test_propagation_grows_with_the_interactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_search.timings._SAMPLED_ENTRIES", 1 << 10)
    spec = replace(SPEC, loss="bpr", batch_size=4096)
    few, many = random_graph(2000, 500, 8), random_graph(2000, 500, 16)
    added = forecast(spec, many).epoch_s - forecast(spec, few).epoch_s
    # One batch; forward and backward over both directions of each layer.
    passes = 2 * 2 * len(spec.layers)
    assert added == pytest.approx(passes * (many.edges.nnz - few.edges.nnz) / (1 << 10), rel=0.01)


@pytest.mark.usefixtures("a_second_each")
def test_propagation_grows_with_links_and_shrinks_with_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_search.timings._SAMPLED_ENTRIES", 1 << 10)
    spec, graph = replace(SPEC, loss="bpr", batch_size=4096), random_graph(2000, 500, 8)
    whole, linked, pruned = (
        forecast(replace(spec, graph=said), graph).epoch_s
        for said in (GraphSpec(), GraphSpec(cooccurrence=10), GraphSpec(max_degree=2))
    )
    passes = 2 * len(spec.layers)
    assert linked - whole == pytest.approx(passes * 2 * 500 * 10 / (1 << 10), rel=0.01)
    assert whole - pruned == pytest.approx(2 * passes * (graph.edges.nnz - 2 * 2000) / (1 << 10), rel=0.01)


@pytest.mark.usefixtures("a_second_each")
def test_features_are_multiplied_like_weights() -> None:
    graph = replace(random_graph(500, 400), item_features=FeatureTable(("a", "b"), np.ones((400, 2), np.float32)))
    added = forecast(replace(SPEC, features=True), graph).epoch_s - forecast(SPEC, graph).epoch_s
    assert added > 0


@pytest.mark.usefixtures("a_second_each")
def test_a_full_softmax_grows_with_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_search.forecast._TIMED_ITEMS", 1 << 10)
    full, sampled = (replace(SPEC, loss=loss, layers=(), num_negatives=64) for loss in ("softmax", "sampled_softmax"))

    def losses_s(num_items: int) -> float:
        graph = random_graph(2560, num_items)
        return forecast(full, graph).epoch_s - forecast(sampled, graph).epoch_s

    # Ten times the timed users; of the sampled one, as many items are timed as there are.
    assert losses_s(1 << 11) == pytest.approx(10.0 * (2 - 1))
    assert losses_s(1 << 12) == pytest.approx(10.0 * (4 - 1))


def test_no_layers_no_interactions() -> None:
    empty = sp.csr_matrix((5, 4), dtype=np.float32)
    assert forecast(replace(SPEC, layers=()), InteractionGraph(empty, empty)).epoch_s == 0
