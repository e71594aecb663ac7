"""Compression: the best approximation of a rank, exact at full rank, whatever the blend is made of."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.blend import compress
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import BranchFacts

USERS, ITEMS = 70, 45


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    dense = np.random.default_rng(0).random((USERS, ITEMS)) < np.linspace(0.05, 0.4, USERS)[:, None]
    dense[5] = False
    positives = sp.csr_matrix(dense.astype(np.float32))
    return InteractionGraph(positives, positives)


@pytest.fixture(scope="module")
def fit(graph: InteractionGraph) -> Fit:
    """All kinds of branches, each strong enough to be seen."""
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((count, 4)).astype(np.float32) for count in (USERS, ITEMS))
    return Fit(
        (
            fit_closed_form(TwoHopSpec(neighbours=12), graph, seed=0, history_power=0.8).weighted(4.0),
            fit_closed_form(FilterSpec(rank=8), graph, seed=0).weighted(5.0),
            Branch(BranchFacts("net", "gnn", 4), *vectors).weighted(0.3),
            fit_closed_form(PopularitySpec(), graph, seed=0).weighted(0.2),
        ),
        6,
    )


def scores_of(fit: Fit, graph: InteractionGraph) -> np.ndarray:
    return fit.score_rows(graph.positives)(np.arange(USERS)).astype(np.float64)


def test_at_full_rank_nothing_is_lost(fit: Fit, graph: InteractionGraph) -> None:
    short = compress(fit, graph.positives, 500, name="blend-0", seed=0)
    assert short.item_vectors.shape[1] <= ITEMS
    np.testing.assert_allclose(scores_of(short, graph), scores_of(fit, graph), atol=2e-4)


@pytest.mark.parametrize("dims", [1, 3, 8, 20])
@pytest.mark.parametrize("branches", [slice(None), slice(0, 1), slice(1, 3)], ids=["all", "two-hop", "vectors"])
def test_no_vectors_of_that_length_come_nearer(fit: Fit, graph: InteractionGraph, branches: slice, dims: int) -> None:
    part = Fit(fit.branches[branches], 6)
    whole = scores_of(part, graph)
    short = compress(part, graph.positives, dims, name="blend-0", seed=0)
    assert short.user_vectors.shape == (USERS, min(dims, short.user_vectors.shape[1]))
    left, values, right = np.linalg.svd(whole, full_matrices=False)
    best = np.linalg.norm(whole - (left[:, :dims] * values[:dims]) @ right[:dims])
    found = np.linalg.norm(whole - scores_of(short, graph))
    assert found <= 1.02 * best + 1e-4 * np.linalg.norm(whole)


def test_it_is_one_branch_that_says_what_it_is(fit: Fit, graph: InteractionGraph) -> None:
    short = compress(fit, graph.positives, 8, name="blend-0", seed=0)
    (branch,) = short.branches
    assert (branch.facts.name, branch.facts.kind, branch.facts.width) == ("blend-0", "compressed", 8)
    assert (branch.fold_in, branch.neighbours, short.two_hop, short.epochs) == (None, None, None, 6)
    np.testing.assert_allclose(  # both sides carry the root of each singular value
        np.linalg.norm(branch.user_vectors, axis=0), np.linalg.norm(branch.item_vectors, axis=0), rtol=1e-3
    )


def test_of_whom_nothing_is_known_nothing_is_known_afterwards(graph: InteractionGraph) -> None:
    """User 5 has no history: what is popular answers, and says so, before and after."""
    specs = (FilterSpec(rank=8), PopularitySpec())
    whole = Fit(tuple(fit_closed_form(spec, graph, seed=0) for spec in specs), 0)
    short = compress(whole, graph.positives, 4, name="blend-0", seed=0)
    assert not short.user_vectors[5].any()
    np.testing.assert_array_equal(short.knows(graph.positives), whole.knows(graph.positives))
    assert short.knows(graph.positives).sum() == (np.diff(graph.positives.indptr) > 0).sum()


def test_equal_seeds_equal_bytes(fit: Fit, graph: InteractionGraph) -> None:
    first, again = (compress(fit, graph.positives, 8, name="blend-0", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.user_vectors, again.user_vectors)
    np.testing.assert_array_equal(first.item_vectors, again.item_vectors)
