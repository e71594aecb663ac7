"""Branch and Fit: weights and divisions do what they say, and leave the fold-in of newcomers exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.closed_form import ClosedFormSpec, FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch, Fit, branches_from, to_arrays
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours

USERS, ITEMS = 40, 25
SPECS = [FilterSpec(response="ridge", rank=6), TwoHopSpec(neighbours=8), PopularitySpec()]


@pytest.fixture(scope="module")
def graph() -> InteractionGraph:
    rng = np.random.default_rng(0)
    dense = rng.random((USERS, ITEMS)) < np.linspace(0.05, 0.5, USERS)[:, None]
    dense[3] = False
    positives = sp.csr_matrix(dense.astype(np.float32))
    return InteractionGraph(positives, positives)


def scores_of(branch: Branch, graph: InteractionGraph) -> np.ndarray:
    return Fit((branch,), 0).score_rows(graph.positives)(np.arange(USERS))


def newcomers(branch: Branch, graph: InteractionGraph) -> np.ndarray:
    """Score every user's history as the service does for a user whom it does not know."""
    histories = [graph.positives[row].indices for row in range(USERS)]
    if branch.neighbours is not None:
        links = branch.neighbours
        known = Neighbours(links.indptr.astype(np.int64), links.indices, links.data, branch.facts.history_power)
        return np.stack([known.scores(history) for history in histories])
    assert branch.fold_in is not None
    counts = np.bincount(graph.positives.indices, minlength=ITEMS).astype(np.int32)
    fold_in = FoldIn(branch.fold_in.ravel(), EmbeddingTable(branch.item_vectors), counts, (branch.facts,))
    return np.stack([branch.item_vectors @ fold_in.vector(history) for history in histories])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.KIND)
@pytest.mark.parametrize("weight", [3.0, 1e-3, 0.0])
def test_a_weight_multiplies_scores_and_fold_in_stays_exact(
    spec: ClosedFormSpec, weight: float, graph: InteractionGraph
) -> None:
    branch = fit_closed_form(spec, graph, seed=0)
    weighted = branch.weighted(weight)
    expected = weight * scores_of(branch, graph)
    large = max(float(np.abs(expected).max()), 1e-9)
    np.testing.assert_allclose(scores_of(weighted, graph), expected, rtol=1e-5, atol=1e-6 * large)
    np.testing.assert_allclose(newcomers(weighted, graph), expected, rtol=1e-4, atol=1e-5 * large)
    np.testing.assert_array_equal(weighted.user_vectors, branch.user_vectors)
    assert weighted.facts == branch.facts


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.KIND)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.3])
def test_a_division_by_the_history_and_fold_in_stays_exact(
    spec: ClosedFormSpec, power: float, graph: InteractionGraph
) -> None:
    lengths = np.diff(graph.positives.indptr)
    branch = fit_closed_form(spec, graph, seed=0, history_power=0.5)
    divided = branch.per_history(power, lengths)
    expected = scores_of(branch, graph) * (np.maximum(lengths, 1.0) ** (0.5 - power))[:, None]
    np.testing.assert_allclose(scores_of(divided, graph), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(newcomers(divided, graph), expected, rtol=1e-4, atol=1e-5)
    assert divided.facts == replace(branch.facts, history_power=power)
    whole = fit_closed_form(spec, graph, seed=0, history_power=power)
    np.testing.assert_allclose(scores_of(divided, graph), scores_of(whole, graph), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.KIND)
def test_both_in_any_order(spec: ClosedFormSpec, graph: InteractionGraph) -> None:
    lengths = np.diff(graph.positives.indptr)
    branch = fit_closed_form(spec, graph, seed=0)
    one = branch.per_history(1.0, lengths).weighted(0.25)
    other = branch.weighted(0.25).per_history(1.0, lengths)
    np.testing.assert_allclose(scores_of(one, graph), scores_of(other, graph), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(newcomers(one, graph), scores_of(other, graph), rtol=1e-4, atol=1e-6)


def all_kinds(graph: InteractionGraph) -> Fit:
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((count, 3)).astype(np.float32) for count in (USERS, ITEMS))
    gnn = Branch(BranchFacts("net", "gnn", 3, unit_length=True), *vectors)
    two_hop, low_pass, popularity = (fit_closed_form(spec, graph, seed=0) for spec in (SPECS[1], SPECS[0], SPECS[2]))
    return Fit((two_hop, gnn.weighted(0.3), low_pass, popularity.weighted(0.1)), 4)


def test_the_score_is_the_sum_over_the_branches(graph: InteractionGraph) -> None:
    fit = all_kinds(graph)
    expected = sum(scores_of(branch, graph) for branch in fit.branches)
    np.testing.assert_allclose(fit.score_rows(graph.positives)(np.arange(USERS)), expected, rtol=1e-5, atol=1e-5)
    some = np.array([5, 0, 5])
    np.testing.assert_allclose(fit.score_rows(graph.positives)(some), expected[some], rtol=1e-5, atol=1e-5)
    assert fit.user_vectors.shape == (USERS, 3 + 6 + 1)
    assert fit.item_vectors.shape == (ITEMS, 3 + 6 + 1)
    assert fit.two_hop is fit.branches[0]
    assert Fit(fit.branches[1:], 4).two_hop is None


def test_whom_a_fit_knows(graph: InteractionGraph) -> None:
    fit = all_kinds(graph)
    present = np.diff(graph.positives.indptr) > 0
    assert 0 < present.sum() < USERS
    low_pass, popularity = fit.branches[2], fit.branches[3]
    np.testing.assert_array_equal(Fit((fit.branches[0], popularity), 0).knows(graph.positives), present)
    np.testing.assert_array_equal(Fit((low_pass,), 0).knows(graph.positives), present)
    assert not Fit((popularity,), 0).knows(graph.positives).any()
    assert fit.knows(graph.positives).all()  # the network has a vector for everybody


def test_it_survives_storage(graph: InteractionGraph) -> None:
    fit = all_kinds(graph)
    facts = tuple(branch.facts for branch in fit.branches)
    again = Fit(branches_from(facts, to_arrays(fit)), 4)
    rows = np.arange(USERS)
    np.testing.assert_array_equal(again.score_rows(graph.positives)(rows), fit.score_rows(graph.positives)(rows))
    for one, other in zip(again.branches, fit.branches, strict=True):
        assert one.facts == other.facts
        assert (one.fold_in is None) == (other.fold_in is None)
        if other.fold_in is not None:
            np.testing.assert_array_equal(one.fold_in, other.fold_in)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"1.user_vectors": None}, "1.user_vectors"),
        ({"1.item_vectors": np.zeros((ITEMS, 2), np.float32)}, "vectors has shape"),
        ({"2.user_vectors": np.zeros((USERS - 1, 6), np.float32)}, "vectors has shape"),
        ({"2.fold_in": np.zeros((6, 6), np.float32)}, "fold_in has shape"),
        ({"0.neighbours.indices": None}, "0.neighbours.indices"),
        ({"0.neighbours.indptr": np.zeros(3, np.int64)}, "neighbours.indptr has shape"),
        ({"0.neighbours.indptr": np.zeros(ITEMS + 1, np.int64) - 1}, "neighbours.indptr"),
    ],
)
def test_arrays_that_do_not_fit_together(
    changes: dict[str, np.ndarray | None], expected: str, graph: InteractionGraph
) -> None:
    fit = all_kinds(graph)
    arrays = to_arrays(fit) | changes
    whole = {name: values for name, values in arrays.items() if values is not None}
    with pytest.raises(ValueError, match=expected):
        branches_from(tuple(branch.facts for branch in fit.branches), whole)


@pytest.mark.parametrize("row", [ITEMS, -1, 2**31 - 1])
def test_links_to_items_that_are_not_there(row: int, graph: InteractionGraph) -> None:
    fit = all_kinds(graph)
    arrays = to_arrays(fit)
    arrays["0.neighbours.indices"][5] = row
    with pytest.raises(ValueError, match="ind"):
        branches_from(tuple(branch.facts for branch in fit.branches), arrays)


def test_no_branch_with_vectors(graph: InteractionGraph) -> None:
    two_hop = fit_closed_form(SPECS[1], graph, seed=0)
    with pytest.raises(ValueError, match="no branch has vectors"):
        branches_from((two_hop.facts,), to_arrays(Fit((two_hop,), 0)))
