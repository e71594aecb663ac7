"""Equal models are one trial: canonical specs compute what the spec itself does, and equal polynomials have one key."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import EMPTY, Body, Setting, canonical_body
from gnas_search.cells import canonical_cell, cell_polynomial
from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.edge_log import EdgeLog
from gnas_search.data.interactions import FeatureTable
from gnas_search.layer_spec import OPERATOR_NAMES, WEIGHTLESS_OPERATORS, LayerSpec
from gnas_search.model import GraphRecommender, _coefficients
from gnas_search.polynomials import Factors, multiplied, network_polynomial, networks
from gnas_search.space import SearchSpace
from gnas_search.space.points import random_point
from gnas_search.specs import GNN

FULL = SearchSpace.load("full").families[GNN]
PLAIN = ArchitectureSpec(init="random", embedding_dim=4, heads=2, scorer="dot", loss="softmax")


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    dense = (np.random.default_rng(0).random((12, 9)) < 0.4).astype(np.float32)
    return InteractionGraph(sp.csr_matrix(dense), sp.csr_matrix(dense))


def logged_graph() -> InteractionGraph:
    """One event beside the target, the age of every interaction, and features of the items."""
    rng = np.random.default_rng(1)
    edges = sp.csr_matrix((rng.random((12, 9)) < 0.5).astype(np.float32))
    codes = (rng.random(edges.nnz) < 0.4).astype(np.int8)
    positives = sp.csr_matrix(edges.toarray())
    positives.data[codes == 1] = 0.0
    positives.eliminate_zeros()
    ages = rng.random(edges.nnz).astype(np.float32)
    log = EdgeLog(("view",), np.arange(edges.nnz, dtype=np.int32), codes, ages)
    table = FeatureTable(("price", "size"), rng.standard_normal((9, 2)).astype(np.float32))
    return InteractionGraph(positives, edges, log=log, item_features=table)


def random_layer(rng: np.random.Generator, operators: tuple[str, ...], *, plain: float) -> LayerSpec:
    """Draw a cell of up to three operators; with a chance nothing else is said of the layer."""
    count = rng.integers(1, 4)
    nodes = tuple((str(rng.choice(operators)), int(rng.integers(0, place + 1))) for place in range(count))
    if rng.random() < plain:
        return LayerSpec(nodes, residual=bool(rng.random() < 0.25))
    said = (str(rng.choice(["auto", "none", "relu"])), str(rng.choice(["none", "unit", "layer"])))
    return LayerSpec(nodes, *said, float(rng.choice([0.0, 0.3])), bool(rng.random() < 0.3))


def random_spec(rng: np.random.Generator, operators: tuple[str, ...], *, plain: float = 0.5) -> ArchitectureSpec:
    return replace(
        PLAIN,
        layers=tuple(random_layer(rng, operators, plain=plain) for _ in range(rng.integers(0, 5))),
        combination=str(rng.choice(["last", "mean", "sum", "max", "concat", "attention"])),
        include_input=bool(rng.integers(2)),
        scorer=str(rng.choice(["bilinear", "cosine", "dot", "mlp"])),
        loss=str(rng.choice(["softmax", "alignment_uniformity"])),
        contrast_weight=float(rng.choice([0.0, 0.0, 0.1])),
    )


def operators_of(model: GraphRecommender) -> dict[str, list[nn.Module]]:
    found = defaultdict(list)
    for layer in model.layers:
        for operator in layer.operators:
            if list(operator.parameters()):
                found[type(operator).__name__].append(operator)
    return found


def scores(model: GraphRecommender) -> Tensor:
    with torch.no_grad():
        users, items = model()
    return (users @ items.T).double()


def same_scores(spec: ArchitectureSpec, canonical: ArchitectureSpec, graph: InteractionGraph) -> bool:
    """Score with both, of equal parameters: weights of one operator may stand in another order, so all are tried."""
    one, other = GraphRecommender(spec, graph, seed=0), GraphRecommender(canonical, graph, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in one.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    mine, theirs = operators_of(one), operators_of(other)
    assert {name: len(found) for name, found in mine.items()} == {name: len(found) for name, found in theirs.items()}
    other.embeddings.data.copy_(one.embeddings.data)
    said = ("combination", "head", *(["features"] if spec.features else []))
    for part in said:  # a layer less is a combination of other parts, but never of other weights
        parts = dict(getattr(one, part).named_parameters())
        for name, parameter in getattr(other, part).named_parameters():
            parameter.data.copy_(parts[name].data)
    expected = scores(one)
    expected = expected / expected.abs().max() if spec.setting.any_scale else expected
    for orders in itertools.product(*(itertools.permutations(found) for found in mine.values())):
        for name, sources in zip(mine, orders, strict=True):
            for source, target in zip(sources, theirs[name], strict=True):
                target.load_state_dict(source.state_dict())
        found = scores(other)
        found = found / found.abs().max() if spec.setting.any_scale else found
        if torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
            return True
    return False


@pytest.mark.parametrize(
    "operators", [OPERATOR_NAMES, ("gcn", "lightgcn", "low_pass", "skip"), ("gat", "lightgcn", "sage_mean", "skip")]
)
def test_a_canonical_spec_computes_what_the_spec_does(operators: tuple[str, ...], graph: InteractionGraph) -> None:
    rng = np.random.default_rng(3)
    changed = 0
    for _ in range(100):
        spec = random_spec(rng, operators)
        canonical = spec.canonical()
        assert canonical.canonical() == canonical
        if canonical.body != spec.body and max(map(spec.operators.count, spec.operators), default=0) < 5:
            changed += 1
            assert same_scores(spec, canonical, graph), f"{spec.summary()} is not {canonical.summary()}"
    assert changed > 25


def test_points_of_the_full_space_compute_what_their_specs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are drawn, before the space makes them canonical; graphs and features among what they vary in."""
    rng = np.random.default_rng(4)
    graph, changed = logged_graph(), 0
    for _ in range(60):
        point = random_point(rng, FULL.genes)
        with monkeypatch.context() as patch:
            patch.setattr(ArchitectureSpec, "canonical", lambda spec: spec)
            spec = FULL.to_spec({**point, "event_weight": float(rng.choice([0.0, 0.3, 1.0]))})
        small = replace(spec, embedding_dim=4, heads=2)
        if max(map(small.operators.count, small.operators), default=0) < 5:
            changed += small.canonical().graph != small.graph
            assert same_scores(small, small.canonical(), graph)
    assert changed > 10


def coefficients(spec: ArchitectureSpec) -> tuple[float, ...]:
    """What the model itself makes of a spec, in floating point."""
    found = _coefficients(spec)
    values = np.array([1.0] if found is None else found)
    values = values / values.sum() if spec.setting.any_scale else values
    return tuple(np.round(values, 9).tolist())


def test_equal_polynomials_have_one_key_and_others_another() -> None:
    rng = np.random.default_rng(5)
    keys: dict[Any, set[str]] = defaultdict(set)
    for _ in range(200):
        layers = tuple(random_layer(rng, WEIGHTLESS_OPERATORS, plain=1.0) for _ in range(rng.integers(1, 4)))
        combination = str(rng.choice(["last", "mean", "sum"]))
        spec = replace(PLAIN, layers=layers, combination=combination, include_input=bool(rng.integers(2)))
        spec = replace(spec, scorer=str(rng.choice(["cosine", "dot"])))
        if any(operator != "skip" for operator in spec.operators):
            keys[spec.scorer, coefficients(spec)].add(spec.key())
    assert all(len(found) == 1 for found in keys.values())
    assert len({next(iter(found)) for found in keys.values()}) == len(keys)
    assert 60 < len(keys) < 195


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"layers": ("lightgcn", "skip")}, {"layers": ("lightgcn",)}),
        ({"layers": ("skip", "gcn", "skip")}, {"layers": ("gcn",)}),
        ({"layers": ("lightgcn", "low_pass")}, {"layers": ("low_pass", "lightgcn")}),
        ({"layers": ("gat", "low_pass", "lightgcn")}, {"layers": ("gat", "lightgcn", "low_pass")}),
        ({"layers": (LayerSpec((("lightgcn", 0), ("lightgcn", 0))),)}, {"layers": ("lightgcn",)}),
        (
            {"layers": (LayerSpec((("lightgcn", 0), ("gcn", 1))),)},
            {"layers": (LayerSpec((("gcn", 0), ("lightgcn", 1))),)},
        ),
        (
            {"layers": (LayerSpec((("gat", 0), ("low_pass", 1), ("low_pass", 1))),)},
            {"layers": (LayerSpec((("gat", 0), ("low_pass", 1))),)},
        ),
        (
            {"layers": ("skip", "gcn"), "combination": "concat"},
            {"layers": ("gcn",), "combination": "concat", "include_input": True},
        ),
        ({"layers": ("gcn", "skip"), "combination": "max"}, {"layers": ("gcn",)}),
        ({"layers": ("skip", "skip"), "combination": "attention"}, {"layers": ()}),
        (
            {"layers": ("gcn", "gat"), "combination": "sum", "loss": "alignment_uniformity"},
            {"layers": ("gcn", "gat"), "combination": "mean", "loss": "alignment_uniformity"},
        ),
        (
            {"layers": ("lightgcn",), "combination": "mean", "include_input": True},
            {"layers": (LayerSpec((("lightgcn", 0), ("skip", 0))),)},
        ),
        ({"epochs": 5, "patience": 5}, {"epochs": 5, "patience": 9}),
        ({"weight_decay": 0.0}, {"weight_decay": -0.0}),
        ({"edge_dropout": 0.0}, {"edge_dropout": -0.0}),
    ],
)
def test_equal_models_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    plain = {"combination": "last"}
    assert replace(PLAIN, **{**plain, **one}).key() == replace(PLAIN, **{**plain, **other}).key()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"layers": ("gcn", "lightgcn")}, {"layers": ("lightgcn", "gcn")}),  # an activation stands between
        ({"layers": ("skip", "lightgcn"), "combination": "mean"}, {"layers": ("lightgcn",)}),
        ({"layers": ("lightgcn", "skip"), "contrast_weight": 0.1}, {"layers": ("lightgcn",), "contrast_weight": 0.1}),
        ({"layers": (LayerSpec((("gcn", 0), ("gcn", 0))),)}, {"layers": ("gcn",)}),
        ({"layers": ("skip", "skip"), "combination": "concat"}, {"layers": ()}),  # half the scores, by the dot product
        ({"layers": ("gcn", "gat"), "combination": "sum"}, {"layers": ("gcn", "gat"), "combination": "mean"}),
        ({"layers": (LayerSpec((("skip", 0),), dropout=0.3), "gcn")}, {"layers": ("gcn",)}),
        ({"epochs": 5, "patience": 4}, {"epochs": 5, "patience": 5}),
    ],
)
def test_other_models_have_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    plain = {"combination": "last"}
    assert replace(PLAIN, **{**plain, **one}).key() != replace(PLAIN, **{**plain, **other}).key()


def test_plain_stacks_are_their_own_form() -> None:
    """The keys that studies of earlier versions gave the networks which most of them have."""
    for count, combination, include_input in itertools.product(range(1, 5), ("mean", "last"), (False, True)):
        stack = replace(PLAIN, layers=("lightgcn",) * count, combination=combination, include_input=include_input)
        canonical = stack.canonical()
        assert canonical.layers == stack.layers
        alone = combination == "last" or (count == 1 and not include_input)
        assert (canonical.combination, canonical.include_input) == (
            ("last", False) if alone else (combination, include_input)
        )
    assert ArchitectureSpec().key() == "gnn-28f40a03d2"
    assert [start.key() for start in FULL.starts] == ["gnn-36883f0a0f", "gnn-c4909b54c6", "gnn-dcc9808ef3"]


def test_a_merged_run_makes_no_network_too_deep() -> None:
    chain = LayerSpec((("lightgcn", 0), ("lightgcn", 1), ("lightgcn", 2)))
    layers = (chain, LayerSpec.of("gat"), chain, LayerSpec.of("gat"))
    assert len(canonical_body(Body(layers, "last", False), Setting()).layers) == 4
    assert canonical_body(Body(layers[:2], "last", False), Setting()).layers == (
        *[LayerSpec.of("lightgcn")] * 3,
        layers[1],
    )
    assert canonical_body(Body((), "mean", False), Setting()) == EMPTY


def test_polynomials_are_divided_and_found_again() -> None:
    low_pass, lightgcn = (cell_polynomial(((name, 0),)) for name in ("low_pass", "lightgcn"))
    assert low_pass is not None
    assert lightgcn is not None
    assert cell_polynomial((("gcn", 0),)) is None
    table = Factors([low_pass, lightgcn])
    assert list(table.products(multiplied(low_pass, lightgcn), 2)) == [(low_pass, lightgcn)]
    assert list(table.products(lightgcn, 2)) == []
    for combination, include_input in itertools.product(("last", "mean", "sum"), (False, True)):
        whole = network_polynomial((lightgcn, low_pass, lightgcn), combination, include_input)
        for scale, any_scale in ((1, False), (3, True)):
            of = tuple(part * Fraction(scale) for part in whole)
            found = list(networks(of, 3, combination, include_input, table, any_scale=any_scale))
            expected = (lightgcn, low_pass, lightgcn)
            assert expected in found if combination != "last" else sorted(expected) in [sorted(one) for one in found]
            assert not list(networks(of, 2, combination, include_input, table, any_scale=any_scale))


def test_a_cell_of_no_shorter_form_stays() -> None:
    for nodes in ((("gat", 0), ("gcn", 1)), (("gat", 0), ("gcn", 0)), (("gcn", 0), ("gcn", 0), ("skip", 0))):
        assert canonical_cell(nodes) == nodes
