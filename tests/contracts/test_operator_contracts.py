"""Every operator against PyTorch Geometric's, and what every operator promises. A new one needs three lines here."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from gnas_search import loops
from gnas_search.layer_spec import ATTENTION_OPERATORS, OPERATOR_NAMES
from gnas_search.operators import OPERATORS
from gnas_search.operators.adjacency import Adjacency
from gnas_search.operators.spmm import product

with warnings.catch_warnings():  # PyG scripts a class while it is imported, which torch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, LGConv, SAGEConv

NUM_USERS, NUM_ITEMS, DIM = 23, 31, 8


def interactions(seed: int = 0) -> sp.csr_matrix:
    """A random bipartite graph in which user 3 and item 5 have no edge."""
    dense = (np.random.default_rng(seed).random((NUM_USERS, NUM_ITEMS)) < 0.2).astype(np.float32)
    dense[3, :] = 0
    dense[:, 5] = 0
    return sp.csr_matrix(dense)


def edge_index(matrix: sp.csr_matrix) -> Tensor:
    users, items = matrix.nonzero()
    there = torch.from_numpy(np.stack([users, items + NUM_USERS]).astype(np.int64))
    return torch.cat([there, there.flip(0)], dim=1)


def inputs(seed: int = 1) -> Tensor:
    return torch.randn((NUM_USERS + NUM_ITEMS, DIM), generator=torch.Generator().manual_seed(seed)).requires_grad_()


class OperatorContract:
    """Subclass with ``name`` and ``reference``; pairs of parameters are (ours, reference's)."""

    name: ClassVar[str]

    def reference(self, operator: nn.Module) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
        raise NotImplementedError

    def operator(self, **options: int) -> nn.Module:
        return OPERATORS[self.name](DIM, torch.Generator().manual_seed(2), **options)

    def test_same_output_and_gradients_as_the_reference(self) -> None:
        operator, matrix = self.operator(), interactions()
        reference, pairs = self.reference(operator)
        with torch.no_grad():
            for ours, theirs in pairs:
                theirs.copy_(ours.reshape(theirs.shape))
        x, reference_x = inputs(), inputs()
        out, expected = operator(x, Adjacency(matrix)), reference(reference_x, edge_index(matrix))
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
        (out * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(x.grad, reference_x.grad, rtol=1e-4, atol=1e-5)
        assert len(pairs) == len(list(operator.parameters()))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours.grad, theirs.grad.reshape(ours.shape), rtol=1e-4, atol=1e-4)

    def test_equivariant_to_the_order_of_users_and_items(self) -> None:
        operator, matrix, x = self.operator(), interactions(), inputs().detach()
        rng = np.random.default_rng(4)
        users, items = rng.permutation(NUM_USERS), rng.permutation(NUM_ITEMS)
        nodes = torch.from_numpy(np.concatenate([users, NUM_USERS + items]))
        shuffled = sp.csr_matrix(matrix[users][:, items])
        shuffled.sort_indices()
        straight = operator(x, Adjacency(matrix))
        torch.testing.assert_close(operator(x[nodes], Adjacency(shuffled)), straight[nodes], rtol=1e-4, atol=1e-5)

    def test_isolated_nodes_are_finite_and_have_gradients_without_nan(self) -> None:
        operator, x = self.operator(), inputs()
        empty = sp.csr_matrix((NUM_USERS, NUM_ITEMS), dtype=np.float32)
        for matrix in (interactions(), empty):
            out = operator(x, Adjacency(matrix))
            assert out.shape == x.shape
            assert torch.isfinite(out).all()
            if out.requires_grad:
                x.grad = None
                out.square().sum().backward()
                assert torch.isfinite(x.grad).all()

    def test_equal_results_whatever_the_number_of_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loops, "_SMALL", 0)  # else work as little as this never meets the parallel kernels
        operator, adjacency, before = self.operator(), Adjacency(interactions()), torch.get_num_threads()
        results = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                x = inputs()
                operator(x, adjacency).square().sum().backward()
                results.append(x.grad)
        finally:
            torch.set_num_threads(before)
        torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


class TestLightGCN(OperatorContract):
    name = "lightgcn"

    def reference(self, operator):
        return LGConv(), []


class TestGCN(OperatorContract):
    name = "gcn"

    def reference(self, operator):
        conv = GCNConv(DIM, DIM, add_self_loops=False, bias=False)
        return conv, [(operator.weight, conv.lin.weight)]


class TestGIN(OperatorContract):
    name = "gin"

    def reference(self, operator):
        first, second = (nn.Linear(DIM, DIM, bias=False) for _ in range(2))
        conv = GINConv(nn.Sequential(first, nn.LeakyReLU(0.2), second), train_eps=True)
        with torch.no_grad():
            operator.eps += 0.3
        return conv, [(operator.eps, conv.eps), (operator.first, first.weight), (operator.second, second.weight)]


class TestLowPass(OperatorContract):
    name = "low_pass"

    def reference(self, operator):
        class Twice(nn.Module):
            """(1 + A) / 2, two times."""

            def __init__(self):
                super().__init__()
                self.conv = LGConv()

            def forward(self, x, edges):
                for _ in range(2):
                    x = (x + self.conv(x, edges)) / 2
                return x

        return Twice(), []

    def test_the_roughest_signal_is_gone_and_the_smoothest_stays(self) -> None:
        whole = sp.csr_matrix(np.ones((4, 6), np.float32))
        smooth = torch.cat([torch.full((4, DIM), 6**0.5), torch.full((6, DIM), 4**0.5)])
        rough = torch.cat([smooth[:4], -smooth[4:]])
        torch.testing.assert_close(self.operator()(smooth, Adjacency(whole)), smooth)
        torch.testing.assert_close(self.operator()(rough, Adjacency(whole)), torch.zeros_like(rough))


class TestNGCF(OperatorContract):
    name = "ngcf"

    def reference(self, operator):
        class Reference(nn.Module):
            """The paper's sum over neighbours, edge by edge."""

            def __init__(self):
                super().__init__()
                self.sum, self.product = (nn.Linear(DIM, DIM, bias=False) for _ in range(2))

            def forward(self, x, edges):
                source, target = edges
                degree = torch.bincount(target, minlength=len(x)).float()
                scale = (degree[source] * degree[target]).rsqrt()[:, None]
                message = scale * (self.sum(x[source]) + self.product(x[source] * x[target]))
                return self.sum(x).index_add(0, target, message)

        reference = Reference()
        return reference, [(operator.sum, reference.sum.weight), (operator.product, reference.product.weight)]


class TestSageMean(OperatorContract):
    name = "sage_mean"

    def reference(self, operator):
        conv = SAGEConv(DIM, DIM, aggr="mean", bias=False)
        return conv, [(operator.own, conv.lin_r.weight), (operator.neighbours, conv.lin_l.weight)]


class TestSageSum(OperatorContract):
    name = "sage_sum"

    def reference(self, operator):
        conv = SAGEConv(DIM, DIM, aggr="sum", bias=False)
        return conv, [(operator.own, conv.lin_r.weight), (operator.neighbours, conv.lin_l.weight)]


class TestSageMax(OperatorContract):
    name = "sage_max"

    def reference(self, operator):
        conv = SAGEConv(DIM, DIM, aggr="max", project=True, bias=False)
        nn.init.zeros_(conv.lin.bias)  # PyG's projection always has a bias
        return conv, [
            (operator.own, conv.lin_r.weight),
            (operator.neighbours, conv.lin_l.weight),
            (operator.pool, conv.lin.weight),
        ]


class TestGAT(OperatorContract):
    name = "gat"

    def reference(self, operator):
        conv = GATConv(DIM, DIM, heads=1, add_self_loops=False, bias=False)
        return conv, [
            (operator.weight, conv.lin.weight),
            (operator.source, conv.att_src),
            (operator.target, conv.att_dst),
        ]


class TestGATOfSeveralHeads(TestGAT):
    def operator(self):
        return super().operator(heads=4)

    def reference(self, operator):
        conv = GATConv(DIM, DIM // 4, heads=4, add_self_loops=False, bias=False)
        return conv, [
            (operator.weight, conv.lin.weight),
            (operator.source, conv.att_src),
            (operator.target, conv.att_dst),
        ]


class TestGATv2(OperatorContract):
    name = "gatv2"
    heads = 1

    def operator(self):
        return super().operator(heads=self.heads)

    def reference(self, operator):
        conv = GATv2Conv(DIM, DIM // self.heads, heads=self.heads, add_self_loops=False, bias=False)
        return conv, [
            (operator.source, conv.lin_l.weight),
            (operator.target, conv.lin_r.weight),
            (operator.query, conv.att),
        ]


class TestGATv2OfSeveralHeads(TestGATv2):
    heads = 2


class TestSkip(OperatorContract):
    name = "skip"

    def reference(self, operator):
        class Identity(nn.Module):
            def forward(self, x, edges):
                return x

        return Identity(), []


def test_every_operator_has_a_contract() -> None:
    assert sorted(contract.name for contract in OperatorContract.__subclasses__()) == sorted(OPERATORS)


def test_attention_makes_no_mean() -> None:
    """Initial queries are small but not nothing, so that a contract that only saw the mean would fail."""
    for name in ATTENTION_OPERATORS:
        operator, matrix, x = OPERATORS[name](DIM, torch.Generator().manual_seed(2)), interactions(), 5 * inputs()
        averaged = x @ (operator.weight if name == "gat" else operator.source).T
        mean = product(Adjacency(matrix).mean, averaged)
        assert (operator(x, Adjacency(matrix)) - mean).abs().max() > 0.1


def test_the_registry_is_sorted_and_is_what_architectures_may_name() -> None:
    assert list(OPERATORS) == sorted(OPERATORS) == sorted(OPERATOR_NAMES)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"skip"}))
def test_messages_cross_between_users_and_items(name: str) -> None:
    """A user's output depends on the items of its history, and on no item outside it."""
    matrix, x = interactions(), inputs()
    operator = OPERATORS[name](DIM, torch.Generator().manual_seed(2))
    operator(x, Adjacency(matrix))[0].abs().sum().backward()
    touched = np.flatnonzero(x.grad[NUM_USERS:].abs().sum(1).numpy())
    assert len(touched)
    assert set(touched) <= set(matrix[0].indices)
    if name != "sage_max":  # a maximum may pass over an item
        assert set(touched) == set(matrix[0].indices)
