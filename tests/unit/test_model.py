"""A graph recommender's two ways through: some users for training, all of them exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.layer_spec import LayerSpec
from gnas_search.model import GraphRecommender, is_polynomial

NUM_USERS, NUM_ITEMS = 40, 30
SPEC = ArchitectureSpec(embedding_dim=8, init="random")
CHOSEN = torch.tensor([5, 0, 31, 17])


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    dense = (np.random.default_rng(0).random((NUM_USERS, NUM_ITEMS)) < 0.2).astype(np.float32)
    return InteractionGraph(sp.csr_matrix(dense), sp.csr_matrix(dense))


def _gradients(model: GraphRecommender, chosen: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors of CHOSEN and of the items, and the gradient of a fixed function of both."""
    model.zero_grad()
    users, items = model(chosen)
    users = users if chosen is not None else users.index_select(0, CHOSEN)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(part.shape, generator=generator) for part in (users, items)]
    ((users * weights[0]).sum() + (items * weights[1]).sum()).backward()
    return users.detach(), items.detach(), model.embeddings.grad.clone()


CELL = LayerSpec((("gcn", 0), ("lightgcn", 1), ("skip", 0)), "relu", "batch", residual=True)
SMOOTH = LayerSpec((("lightgcn", 0), ("low_pass", 1), ("skip", 0)), residual=True)
LINEAR = ("lightgcn", "skip", "lightgcn")


@pytest.mark.parametrize("scorer", ["bilinear", "cosine", "dot", "mlp"])
@pytest.mark.parametrize(
    ("layers", "combination", "include_input", "rounded"),
    [
        ((), "last", True, False),
        (("skip",), "mean", True, False),
        (LINEAR, "last", False, True),
        (LINEAR, "mean", False, True),
        (LINEAR, "mean", True, True),
        (LINEAR, "concat", False, False),
        (("low_pass", "lightgcn"), "mean", True, True),
        (("gcn", "lightgcn"), "mean", True, False),
        (("gat",), "last", False, False),
        (("gatv2", "lightgcn"), "attention", True, False),
        ((CELL, "lightgcn"), "max", False, False),
        ((SMOOTH, "lightgcn"), "sum", True, True),
    ],
)
def test_training_sees_the_model_that_is_kept(
    layers: tuple[str | LayerSpec, ...],
    combination: str,
    include_input: bool,
    rounded: bool,
    scorer: str,
    graph: InteractionGraph,
) -> None:
    spec = replace(SPEC, layers=layers, combination=combination, include_input=include_input, scorer=scorer)
    model = GraphRecommender(spec, graph, seed=0)
    exact, trained = _gradients(model, None), _gradients(model, CHOSEN)
    for ours, reference in zip(trained, exact, strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(ours, reference, rtol=0, atol=scale * (2e-2 if rounded else 1e-5))
    # The bfloat16 path ran where it should; a matrix product of fewer rows is not always the same to the last bit.
    gap = float((exact[0] - trained[0]).abs().max() / exact[0].abs().max())
    assert gap > 1e-4 if rounded else gap < 1e-6


@pytest.mark.parametrize("combination", ["last", "mean", "sum"])
@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize(
    "layers", [LINEAR, ("low_pass",), ("skip", "low_pass", "lightgcn"), ("low_pass", "low_pass"), (SMOOTH, "skip")]
)
def test_a_polynomial_is_what_its_layers_give_one_by_one(
    layers: tuple[str | LayerSpec, ...], include_input: bool, combination: str, graph: InteractionGraph
) -> None:
    spec = replace(SPEC, layers=layers, combination=combination, include_input=include_input, scorer="dot")
    assert is_polynomial(spec)
    model = GraphRecommender(spec, graph, seed=0)
    outputs = [model.embeddings]
    for layer in model.layers:
        outputs.append(layer(outputs[-1], model.adjacency))
    parts = outputs[0 if include_input else 1 :]
    stacked = torch.stack(parts)
    expected = {"last": outputs[-1], "mean": stacked.mean(dim=0), "sum": stacked.sum(dim=0)}[combination]
    torch.testing.assert_close(torch.cat(model()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [LINEAR, ("gcn",), ("sage_max",), ("gatv2",)])
def test_dropped_edges_carry_no_message_in_training(layers: tuple[str, ...], graph: InteractionGraph) -> None:
    spec = replace(SPEC, layers=layers, edge_dropout=0.5, scorer="dot", combination="last")
    model = GraphRecommender(spec, graph, seed=0)
    model.thin(np.random.default_rng(3))
    kept = np.random.default_rng(3).random(graph.positives.nnz) >= 0.5
    thinned = graph.positives.copy()
    thinned.data *= kept
    thinned.eliminate_zeros()
    assert 0 < thinned.nnz < graph.positives.nnz
    other = GraphRecommender(spec, InteractionGraph(thinned, thinned), seed=0)
    everyone = torch.arange(NUM_USERS)
    for ours, reference in zip(model(everyone), other(everyone), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-6)
    whole = GraphRecommender(replace(spec, edge_dropout=0.0), graph, seed=0)
    for ours, reference in zip(model(), whole(), strict=True):
        assert torch.equal(ours, reference)


@pytest.mark.parametrize("layers", [LINEAR[:1], ("gcn",)])
def test_noise_moves_each_vector_by_its_length_into_its_own_orthant(
    layers: tuple[str, ...], graph: InteractionGraph
) -> None:
    model = GraphRecommender(replace(SPEC, layers=layers, scorer="dot", combination="last"), graph, seed=0)
    calm = torch.cat(model())
    moved = [torch.cat(model(noise=0.25)) - calm for _ in range(2)]
    reached = calm.any(dim=1)
    for way in moved:
        torch.testing.assert_close(way[reached].norm(dim=1), torch.full((int(reached.sum()),), 0.25), rtol=1e-3, atol=0)
        assert (way * calm >= -1e-6).all()
    assert not torch.allclose(*moved)


def test_dropout_scales_what_stays(graph: InteractionGraph) -> None:
    layer = LayerSpec((("gcn", 0),), "none", dropout=0.4)
    model = GraphRecommender(replace(SPEC, layers=(layer,), scorer="dot", combination="last"), graph, seed=0)
    everyone = torch.arange(NUM_USERS)
    whole, dropped = torch.cat(model()), torch.cat(model(everyone))
    zeros = (dropped == 0) & (whole != 0)
    assert 0.3 < float(zeros.sum() / (whole != 0).sum()) < 0.5
    torch.testing.assert_close(dropped[~zeros], whole[~zeros] / 0.6, rtol=1e-4, atol=1e-6)
