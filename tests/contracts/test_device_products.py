"""What a CUDA device computes, against the loops of the CPU: its formulas here on the CPU, and on a device if any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.layer_spec import OPERATOR_NAMES
from gnas_search.operators import OPERATORS, numba_products, spmm, torch_products
from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import CsrPattern, entry_products, maximum, polynomial
from gnas_search.trainer import Trainer

NUM_USERS, NUM_ITEMS, DIM = 60, 50, 8
TRAINED = ArchitectureSpec(embedding_dim=DIM, batch_size=16, epochs=3, num_negatives=20, include_input=True)

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def _interactions() -> sp.csr_matrix:
    """A random graph in which user 3 and item 5 have no edge."""
    dense = (np.random.default_rng(0).random((NUM_USERS, NUM_ITEMS)) < 0.2).astype(np.float32)
    dense[3, :] = 0
    dense[:, 5] = 0
    return sp.csr_matrix(dense)


def _draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def torch_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute as on a CUDA device, on the CPU, in several spans of entries."""
    monkeypatch.setattr(spmm, "products_for", lambda dense: torch_products)
    monkeypatch.setattr(torch_products, "_ENTRIES", 100)


def _operator_results(name: str, device: str = "cpu") -> list[torch.Tensor]:
    operator = OPERATORS[name](DIM, torch.Generator().manual_seed(2)).to(device)
    x = _draw(NUM_USERS + NUM_ITEMS, DIM).to(device).requires_grad_()
    out = operator(x, Adjacency(_interactions()))
    (out * _draw(*out.shape, seed=3).to(device)).sum().backward()
    return [part.detach().cpu() for part in (out, x.grad, *(parameter.grad for parameter in operator.parameters()))]


def _assert_close(ours: list[torch.Tensor], reference: list[torch.Tensor]) -> None:
    for one, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_both_have_the_same_functions() -> None:
    public = [
        {name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__}
        - {"_array", "_spans", "accumulate"}  # rounding is for a CPU's cache
        for module in (numba_products, torch_products)
    ]
    assert public[0] == public[1]
    assert len(public[0]) == 9


@pytest.mark.parametrize("name", OPERATOR_NAMES)
def test_operators_agree(name: str, request: pytest.FixtureRequest) -> None:
    reference = _operator_results(name)
    request.getfixturevalue("torch_formulas")
    _assert_close(_operator_results(name), reference)


@cuda
@pytest.mark.parametrize("name", OPERATOR_NAMES)
def test_operators_agree_on_the_device(name: str) -> None:
    _assert_close(_operator_results(name, "cuda"), _operator_results(name))


@pytest.mark.usefixtures("torch_formulas")
def test_the_polynomial_is_never_rounded_there() -> None:
    adjacency, x = Adjacency(_interactions()), _draw(NUM_USERS + NUM_ITEMS, DIM)
    dense = adjacency.symmetric.multiply(torch.eye(NUM_USERS + NUM_ITEMS))
    expected = 0.25 * x + 0.75 * dense @ dense @ x
    torch.testing.assert_close(
        polynomial(adjacency.symmetric, (0.25, 0.0, 0.75), x, rounded=True), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.usefixtures("torch_formulas")
def test_repeated_entries_count_and_of_equal_maxima_the_first_wins() -> None:
    pattern = CsrPattern(np.array([0, 3, 4, 4]), np.array([1, 1, 0, 2]), 3)
    left, right = (_draw(3, 4, seed=seed).requires_grad_() for seed in (1, 2))
    ours = entry_products(pattern, left, right)
    torch.testing.assert_close(ours, (left[[0, 0, 0, 1]] * right[[1, 1, 0, 2]]).sum(1))
    ours.sum().backward()
    torch.testing.assert_close(left.grad, torch.stack([2 * right[1] + right[0], right[2], 0 * right[0]]).detach())
    ties = torch.ones((3, 2), requires_grad=True)
    out = maximum(pattern, ties)
    assert out.tolist() == [[1, 1], [1, 1], [0, 0]]
    (out * torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).sum().backward()
    assert ties.grad.tolist() == [[0, 0], [1, 2], [3, 4]]


def _trained(spec: ArchitectureSpec, device: str) -> tuple[np.ndarray, np.ndarray, float]:
    matrix = _interactions()
    trainer = Trainer(spec, InteractionGraph(matrix, matrix), seed=0, device=device)
    assert trainer.device.type == device
    trainer.advance(3)
    assert trainer.epoch_s > 0
    assert trainer.peak_bytes > 0
    return *trainer.vectors(), trainer.loss


SPECS = [
    replace(TRAINED, layers=("gat", "sage_max"), loss="softmax", scorer="dot"),
    replace(TRAINED, layers=("gcn",), loss="sampled_softmax", combination="concat", temperature=0.01),
    replace(TRAINED, layers=("sage_mean", "lightgcn"), loss="bpr", scorer="dot"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.loss)
def test_whole_trainings_agree(spec: ArchitectureSpec, request: pytest.FixtureRequest) -> None:
    reference = _trained(spec, "cpu")
    request.getfixturevalue("torch_formulas")
    for ours, theirs in zip(_trained(spec, "cpu"), reference, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@cuda
@pytest.mark.parametrize("spec", [*SPECS, replace(TRAINED, loss="softmax")], ids=lambda spec: spec.loss)
def test_whole_trainings_nearly_agree_on_the_device(spec: ArchitectureSpec) -> None:
    reference = _trained(spec, "cpu")
    for ours, theirs in zip(_trained(spec, "cuda"), reference, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-2)
