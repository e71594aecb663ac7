"""A graph recommender's two ways through: some users for training, all of them exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
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


LINEAR = ("lightgcn", "skip", "lightgcn")


@pytest.mark.parametrize("scorer", ["cosine", "dot"])
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
    ],
)
def test_training_sees_the_model_that_is_kept(
    layers: tuple[str, ...], combination: str, include_input: bool, rounded: bool, scorer: str, graph: InteractionGraph
) -> None:
    spec = replace(SPEC, layers=layers, combination=combination, include_input=include_input, scorer=scorer)
    model = GraphRecommender(spec, graph, seed=0)
    exact, trained = _gradients(model, None), _gradients(model, CHOSEN)
    for ours, reference in zip(trained, exact, strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(ours, reference, rtol=0, atol=scale * (2e-2 if rounded else 1e-5))
    assert torch.equal(exact[0], trained[0]) == (not rounded)  # the bfloat16 path ran where it should


@pytest.mark.parametrize("combination", ["last", "mean"])
@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("layers", [LINEAR, ("low_pass",), ("skip", "low_pass", "lightgcn"), ("low_pass", "low_pass")])
def test_a_polynomial_is_what_its_layers_give_one_by_one(
    layers: tuple[str, ...], include_input: bool, combination: str, graph: InteractionGraph
) -> None:
    spec = replace(SPEC, layers=layers, combination=combination, include_input=include_input, scorer="dot")
    assert is_polynomial(spec)
    model = GraphRecommender(spec, graph, seed=0)
    outputs = [model.embeddings]
    for layer in model.layers:
        outputs.append(layer(outputs[-1], model.adjacency))
    parts = outputs[0 if include_input else 1 :]
    expected = outputs[-1] if combination == "last" else torch.stack(parts).mean(dim=0)
    torch.testing.assert_close(torch.cat(model()), expected, rtol=1e-4, atol=1e-5)
