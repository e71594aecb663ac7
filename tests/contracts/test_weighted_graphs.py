"""Every operator over a graph whose edges have weights, and items have links: against dense matrices and PyG."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from gnas_search.layer_spec import ATTENTION_OPERATORS, NORMALISING_OPERATORS, OPERATOR_NAMES
from gnas_search.operators import OPERATORS, spmm, torch_products
from gnas_search.operators.adjacency import Adjacency, normalised
from gnas_search.operators.spmm import polynomial

with warnings.catch_warnings():  # PyG scripts a class while it is imported, which torch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GCNConv, LGConv

NUM_USERS, NUM_ITEMS, DIM = 23, 31, 8
NODES = NUM_USERS + NUM_ITEMS


def _weighted(*, linked: bool) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """Random weights and links; user 3 and item 5 have no edge."""
    rng = np.random.default_rng(0)
    dense = (rng.random((NUM_USERS, NUM_ITEMS)) < 0.2) * rng.uniform(0.05, 1.0, (NUM_USERS, NUM_ITEMS))
    dense[3, :] = dense[:, 5] = 0
    links = np.triu((rng.random((NUM_ITEMS, NUM_ITEMS)) < 0.1) * rng.uniform(0.05, 1.0, (NUM_ITEMS, NUM_ITEMS)), 1)
    links[5] = links[:, 5] = 0
    symmetric = sp.csr_matrix((links + links.T).astype(np.float32)) if linked else None
    return sp.csr_matrix(dense.astype(np.float32)), symmetric


def _adjacency(*, linked: bool, averaging: bool = False) -> tuple[Adjacency, Tensor]:
    """Ours, and the dense matrix of weights."""
    edges, links = _weighted(linked=linked)
    dense = np.zeros((NODES, NODES), np.float32)
    dense[:NUM_USERS, NUM_USERS:] = edges.toarray()
    dense += dense.T
    if links is not None:
        dense[NUM_USERS:, NUM_USERS:] = links.toarray()
    return Adjacency(edges, links=links, averaging=averaging), torch.from_numpy(dense)


def _inputs(seed: int = 1) -> Tensor:
    return torch.randn((NODES, DIM), generator=torch.Generator().manual_seed(seed)).requires_grad_()


def _normalised(dense: Tensor, *, averaging: bool) -> Tensor:
    degrees = dense.sum(1)
    degrees[degrees == 0] = 1
    return dense / degrees[:, None] if averaging else dense / (degrees[:, None] * degrees).sqrt()


def _smooth(name: str, operator: torch.nn.Module, x: Tensor, a: Tensor) -> Tensor:
    messages = a @ x
    return {
        "skip": lambda: x,
        "lightgcn": lambda: messages,
        "gcn": lambda: messages @ operator.weight.T,
        "low_pass": lambda: 0.25 * x + 0.5 * messages + 0.25 * a @ messages,
        "ngcf": lambda: (x + messages) @ operator.sum.T + (x * messages) @ operator.product.T,
    }[name]()


def _attended(name: str, operator: torch.nn.Module, x: Tensor, dense: Tensor) -> Tensor:
    if name == "gat":
        hidden = x @ operator.weight.T
        logits = leaky_relu((hidden @ operator.source[0])[None] + (hidden @ operator.target[0])[:, None], 0.2)
    else:
        hidden = x @ operator.source.T
        logits = leaky_relu(hidden[None] + (x @ operator.target.T)[:, None], 0.2) @ operator.query[0]
    attended = dense * torch.exp(logits)  # a weight of 0 is no edge
    return attended / attended.sum(1, keepdim=True).clamp_min(1e-30) @ hidden


def _gathered(name: str, operator: torch.nn.Module, x: Tensor, dense: Tensor) -> Tensor:
    if name == "gin":
        hidden = ((1 + operator.eps) * x + dense @ x) @ operator.first.T
        return leaky_relu(hidden, 0.2) @ operator.second.T
    if name == "sage_max":
        pooled = torch.relu(x @ operator.pool.T)
        present = torch.where(dense[:, :, None] > 0, pooled[None], torch.tensor(-torch.inf)).amax(1)
        gathered = torch.where(present.isfinite(), present, 0.0)
    else:
        gathered = (_normalised(dense, averaging=True) if name == "sage_mean" else dense) @ x
    return x @ operator.own.T + gathered @ operator.neighbours.T


def _reference(name: str, operator: torch.nn.Module, x: Tensor, dense: Tensor, *, averaging: bool) -> Tensor:
    """What each operator is, from dense matrices alone."""
    if name in ATTENTION_OPERATORS:
        return _attended(name, operator, x, dense)
    if name in (*NORMALISING_OPERATORS, "skip"):
        return _smooth(name, operator, x, _normalised(dense, averaging=averaging))
    return _gathered(name, operator, x, dense)


@pytest.mark.parametrize("device_formulas", [False, True], ids=["loops", "torch"])
@pytest.mark.parametrize(("linked", "averaging"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("name", OPERATOR_NAMES)
def test_outputs_and_gradients_are_those_of_dense_matrices(
    name: str, linked: bool, averaging: bool, device_formulas: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device_formulas:  # what a CUDA device computes
        monkeypatch.setattr(spmm, "products_for", lambda dense: torch_products)
        monkeypatch.setattr(torch_products, "_ENTRIES", 100)
    operator = OPERATORS[name](DIM, torch.Generator().manual_seed(2))
    adjacency, dense = _adjacency(linked=linked, averaging=averaging)
    x, dense_x = _inputs(), _inputs()
    out, expected = operator(x, adjacency), _reference(name, operator, dense_x, dense, averaging=averaging)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    ours = torch.autograd.grad((out * weights).sum(), [x, *operator.parameters()])
    theirs = torch.autograd.grad((expected * weights).sum(), [dense_x, *operator.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("linked", [False, True])
def test_same_as_the_convolutions_of_pyg_with_edge_weights(linked: bool) -> None:
    adjacency, dense = _adjacency(linked=linked)
    edges = dense.nonzero().T
    weights, x = dense[edges[0], edges[1]], _inputs().detach()
    light = OPERATORS["lightgcn"](DIM, torch.Generator())
    torch.testing.assert_close(light(x, adjacency), LGConv()(x, edges, weights), rtol=1e-4, atol=1e-5)
    gcn = OPERATORS["gcn"](DIM, torch.Generator().manual_seed(2))
    conv = GCNConv(DIM, DIM, add_self_loops=False, bias=False)
    with torch.no_grad():
        conv.lin.weight.copy_(gcn.weight)
    torch.testing.assert_close(gcn(x, adjacency), conv(x, edges, weights), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("averaging", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_polynomial_of_a_weighted_matrix_and_its_gradient(rounded: bool, averaging: bool) -> None:
    """A mean is not symmetric: its gradient passes along the transpose."""
    adjacency, dense = _adjacency(linked=True, averaging=averaging)
    a, coefficients = _normalised(dense, averaging=averaging), (0.2, 0.5, 0.3)
    x, dense_x = _inputs(), _inputs()
    ours = polynomial(adjacency.propagation, coefficients, x, rounded=rounded)
    expected = sum(c * torch.linalg.matrix_power(a, k) @ dense_x for k, c in enumerate(coefficients))
    tolerance = 2e-2 if rounded else 1e-5
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, dense_x.grad, rtol=0, atol=tolerance)


def test_transposes_of_weighted_matrices() -> None:
    adjacency, dense = _adjacency(linked=True)
    for matrix in (adjacency.mean, adjacency.symmetric, adjacency.sum):
        ours = matrix.multiply(torch.eye(NODES))
        torch.testing.assert_close(matrix.transposed.multiply(torch.eye(NODES)), ours.T)
        torch.testing.assert_close(matrix.transposed.transposed.multiply(torch.eye(NODES)), ours)
    torch.testing.assert_close(adjacency.sum.multiply(torch.eye(NODES)), dense)


def test_an_svd_is_of_weighted_interactions() -> None:
    edges, _ = _weighted(linked=False)
    dense = edges.toarray()
    by_user, by_item = (np.where(dense.sum(axis) > 0, dense.sum(axis), 1) for axis in (1, 0))
    expected = dense / np.sqrt(by_user[:, None] * by_item)
    np.testing.assert_allclose(normalised(edges).multiply(torch.eye(NUM_ITEMS)).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_weights_of_one_are_no_weights() -> None:
    edges, _ = _weighted(linked=False)
    edges.data[:] = 1
    adjacency = Adjacency(edges)
    assert adjacency.weights is None
    assert adjacency.log_weights_on(torch.device("cpu")) is None
    assert adjacency.propagation is adjacency.symmetric
    assert Adjacency(edges, averaging=True).propagation.transposed.values.sum() > 0
