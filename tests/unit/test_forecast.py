"""A forecast grows as training does and is near what training takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from random_graph import random_graph

from gnas_search.architecture import LOSSES, OPERATOR_NAMES, ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import network_bytes
from gnas_search.forecast import forecast
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


def test_no_layers_no_interactions() -> None:
    empty = sp.csr_matrix((5, 4), dtype=np.float32)
    assert forecast(replace(SPEC, layers=()), InteractionGraph(empty, empty)).epoch_s == 0
