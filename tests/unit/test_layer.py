"""Layers, combinations and scorers against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.architecture import COMBINATIONS, SCORERS
from gnas_search.combination import combination
from gnas_search.heads import HEADS
from gnas_search.layer import ACTIVATE, NORMALISE, Layer
from gnas_search.layer_spec import ACTIVATIONS, AUTO, NORMALISATIONS, LayerSpec
from gnas_search.operators.adjacency import Adjacency

DIM = 8
ADJACENCY = Adjacency(sp.csr_matrix((np.random.default_rng(0).random((9, 7)) < 0.4).astype(np.float32)))
NODES = 16


def _draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _layer(*nodes: tuple[str, int], heads: int = 1, **extras: object) -> Layer:
    return Layer(LayerSpec(nodes, **extras), DIM, heads, torch.Generator().manual_seed(2))  # type: ignore[arg-type]


def test_nodes_in_series_and_in_parallel() -> None:
    x = _draw(NODES, DIM)
    layer = _layer(("gcn", 0), ("gat", 1), ("sage_mean", 0), activation="none")
    gcn, gat, sage = layer.operators
    expected = (gat(gcn(x, ADJACENCY), ADJACENCY) + sage(x, ADJACENCY)) / 2
    torch.testing.assert_close(layer(x, ADJACENCY), expected)


def test_normalisation_activation_and_residual_in_this_order() -> None:
    x = _draw(NODES, DIM)
    layer = _layer(("gcn", 0), activation="relu", normalisation="layer", residual=True)
    hidden = layer.operators[0](x, ADJACENCY)
    hidden = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, ADJACENCY), x + hidden.clamp_min(0), rtol=1e-4, atol=1e-5)


def test_normalisations_are_their_definitions() -> None:
    x = 3 * _draw(NODES, DIM) + 1
    torch.testing.assert_close(NORMALISE["unit"](x).norm(dim=1), torch.ones(NODES))
    for name, dim in (("batch", 0), ("layer", 1)):
        out = NORMALISE[name](x)
        torch.testing.assert_close(out.mean(dim), torch.zeros(out.shape[1 - dim]), rtol=0, atol=1e-5)
        torch.testing.assert_close(out.var(dim, unbiased=False), torch.ones(out.shape[1 - dim]), rtol=1e-3, atol=1e-3)


def test_heads_reach_the_attention_operators_alone() -> None:
    layer = _layer(("gat", 0), ("gatv2", 0), ("gcn", 0), heads=4)
    assert layer.operators[0].source.shape == layer.operators[1].query.shape == (4, 2)


def test_dropout_is_of_the_output_and_of_training_alone() -> None:
    x = _draw(NODES, DIM)
    layer = _layer(("gcn", 0), dropout=0.5, residual=True)
    asked: list[float] = []

    def drop(hidden: torch.Tensor, share: float) -> torch.Tensor:
        asked.append(share)
        return torch.zeros_like(hidden)

    assert torch.equal(layer(x, ADJACENCY, drop), x)
    assert asked == [0.5]
    assert not torch.equal(layer(x, ADJACENCY), x)


def test_the_registries_are_what_specs_may_name() -> None:
    assert sorted(ACTIVATE) == sorted(set(ACTIVATIONS) - {AUTO})
    assert sorted(NORMALISE) == sorted(NORMALISATIONS)
    assert sorted(HEADS) == sorted(SCORERS)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations(name: str) -> None:
    parts = [_draw(NODES, DIM, seed=seed) for seed in range(3)]
    stacked = torch.stack(parts)
    expected = {
        "attention": stacked.mean(0),  # so it begins
        "concat": torch.cat(parts, 1),
        "last": parts[-1],
        "max": stacked.amax(0),
        "mean": stacked.mean(0),
        "sum": stacked.sum(0),
    }[name]
    torch.testing.assert_close(combination(name, DIM, torch.Generator().manual_seed(0))(parts), expected)


def test_attention_weighs_the_layers_of_each_node() -> None:
    module = combination("attention", DIM, torch.Generator().manual_seed(0))
    parts = [_draw(NODES, DIM, seed=seed) for seed in range(2)]
    with torch.no_grad():
        module.query.copy_(_draw(DIM, seed=5))
    logits = [torch.tanh(part @ module.weight.T) @ module.query for part in parts]
    share = torch.sigmoid(logits[0] - logits[1])[:, None]
    torch.testing.assert_close(module(parts), share * parts[0] + (1 - share) * parts[1])


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_are_inner_products_of_what_they_make(name: str) -> None:
    users, items = _draw(4, DIM), _draw(6, DIM, seed=2)
    head = HEADS[name](DIM, torch.Generator().manual_seed(3))
    left, right = head(users, items)
    if name == "bilinear":
        expected = users @ head.weight.T @ items.T
    elif name == "cosine":
        expected = torch.cosine_similarity(users[:, None], items[None], dim=2)
    elif name == "dot":
        expected = users @ items.T
    else:
        hidden = [
            torch.nn.functional.leaky_relu(side @ weight.T, 0.2)
            for side, weight in ((users, head.user_hidden), (items, head.item_hidden))
        ]
        expected = (hidden[0] @ head.user_out.T) @ (hidden[1] @ head.item_out.T).T
    torch.testing.assert_close(left @ right.T, expected)
    nothing = head(torch.zeros(1, DIM), torch.zeros(1, DIM))
    assert not torch.cat(nothing).any()  # nodes without edges say nothing
