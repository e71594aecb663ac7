"""Links between items against the whole product, and the prior that orders what they do not reach."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search import links
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.closed_form.incidence import Incidence
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Fit
from gnas_serve.errors import ConfigError


def graph_of(matrix: np.ndarray | sp.csr_matrix) -> InteractionGraph:
    positives = sp.csr_matrix(matrix).astype(np.float32)
    return InteractionGraph(positives, positives)


def random_matrix(seed: int = 0, shape: tuple[int, int] = (80, 50), density: float = 0.1) -> sp.csr_matrix:
    matrix = sp.random_array(shape, density=density, rng=seed, dtype=np.float32, format="csr")
    matrix.data[:] = 1
    return sp.csr_matrix(matrix)


def product_of(spec: TwoHopSpec, matrix: sp.csr_matrix) -> np.ndarray:
    """Multiply the whole operator out, diagonal 0."""
    by_user = np.maximum(np.diff(matrix.indptr), 1.0) ** -spec.user_power
    by_item = np.maximum(np.bincount(matrix.indices, minlength=matrix.shape[1]), 1.0)
    product = (matrix.T @ sp.diags_array(by_user) @ matrix).toarray().astype(np.float64)
    np.fill_diagonal(product, 0)
    return by_item[:, None] ** -spec.source_power * product * by_item**-spec.target_power


def strongest_of(row: np.ndarray, count: int) -> np.ndarray:
    kept = np.zeros_like(row)
    chosen = np.argsort(-row, kind="stable")[:count]  # of equals the lower item
    kept[chosen] = row[chosen]
    return kept


@pytest.mark.parametrize("neighbours", [1, 6, 49, 200])
@pytest.mark.parametrize("powers", [(0.5, 0.5, 0.25), (0.0, 0.5, 0.5), (1.3, -0.5, 0.9)])
def test_links_are_the_strongest_of_the_whole_product(powers: tuple[float, float, float], neighbours: int) -> None:
    matrix = random_matrix()
    spec = TwoHopSpec(neighbours, "source", *powers)
    fitted = fit_closed_form(spec, graph_of(matrix), seed=0).neighbours
    product = product_of(spec, matrix).astype(np.float32)
    expected = np.array([strongest_of(row, neighbours) for row in product])
    np.testing.assert_allclose(fitted.toarray(), expected, rtol=1e-6)
    assert fitted.has_sorted_indices
    assert (fitted.data.dtype, fitted.indices.dtype) == (np.float32, np.int32)
    assert (fitted.data > 0).all()


def test_kept_per_target_they_are_the_strongest_of_each_column() -> None:
    matrix = random_matrix()
    spec = TwoHopSpec(5, "target", 0.4, 0.2, 0.7)
    fitted = fit_closed_form(spec, graph_of(matrix), seed=0).neighbours
    expected = np.array([strongest_of(column, 5) for column in product_of(spec, matrix).astype(np.float32).T]).T
    np.testing.assert_allclose(fitted.toarray(), expected, rtol=1e-6)
    assert fitted.has_sorted_indices


def test_of_equal_links_those_with_the_lower_item_are_kept() -> None:
    fitted = fit_closed_form(TwoHopSpec(3), graph_of(np.ones((4, 9))), seed=0).neighbours
    assert fitted[8].indices.tolist() == [0, 1, 2]
    assert fitted[1].indices.tolist() == [0, 2, 3]


def test_quickselect_finds_every_rank_among_equals() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 17, 100):
        values = rng.integers(0, 6, size).astype(np.float32)
        for count in range(1, size + 1):
            assert links._largest(values.copy(), count) == np.sort(values)[size - count]


@pytest.mark.parametrize("kept_per", ["source", "target"])
def test_the_number_of_threads_changes_no_bit(kept_per: str) -> None:
    graph = graph_of(random_matrix(1, (2000, 700), 0.03))  # enough work for threads to be used
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(fit_closed_form(TwoHopSpec(20, kept_per), graph, seed=0).neighbours)
    finally:
        torch.set_num_threads(threads)
    assert found[0].data.tobytes() == found[1].data.tobytes()
    assert found[0].indices.tobytes() == found[1].indices.tobytes()


class TestHistoriesTooLongToCountInFull:
    @pytest.fixture
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(links, "MOST_VISITED", 20)

    @pytest.mark.usefixtures("short")
    def test_others_count_in_full(self) -> None:
        matrix = random_matrix(shape=(80, 39), density=0.4)  # no user has 40
        spec = TwoHopSpec(39)
        fitted = fit_closed_form(spec, graph_of(matrix), seed=0).neighbours
        np.testing.assert_allclose(fitted.toarray(), product_of(spec, matrix), rtol=1e-5)

    @pytest.mark.usefixtures("short")
    def test_their_pairs_are_sampled_right_in_the_mean(self) -> None:
        matrix = np.zeros((3, 400), np.float32)
        matrix[0] = 1  # a crawler of the catalogue
        matrix[1:, :2] = 1
        spec = TwoHopSpec(399, "source", 0.0, 0.0, 0.0)
        fitted = fit_closed_form(spec, graph_of(matrix), seed=0).neighbours
        assert np.diff(fitted.indptr).max() <= 2 * 20 + 2
        dense = fitted.toarray()
        assert abs(dense[2:].sum(axis=1).mean() - 399) < 10
        assert set(np.unique(dense[2:, 2:])) == {0.0, 20.0}  # one in twenty, twentyfold
        assert dense[0, 1] in (2.0, 22.0)  # the two real users, and the crawler where it is visited
        assert abs(dense[2:, 2:].sum(axis=0).mean() - 397) < 10
        assert dense[2:, 2:].sum(axis=0).max() < 4 * 400  # no target is favoured

    @pytest.mark.usefixtures("short")
    def test_the_work_is_bounded_by_the_interactions(self) -> None:
        incidence = Incidence(sp.csr_matrix(np.ones((2, 1000), np.float32)))
        ones = np.ones(1000)
        found = links.strongest_links(incidence.pattern, np.ones(2), ones, ones, 1000)
        assert np.diff(found.indptr).max() <= 40


def test_users_and_items_without_interactions_have_no_links() -> None:
    matrix = random_matrix().toarray()
    matrix[:, [0, 7, 49]] = 0
    matrix[4] = 0
    fitted = fit_closed_form(TwoHopSpec(), graph_of(matrix), seed=0).neighbours.toarray()
    assert not fitted[[0, 7, 49]].any()
    assert not fitted[:, [0, 7, 49]].any()
    assert fitted.any()


def test_links_may_come_of_all_events() -> None:
    matrix = random_matrix()
    bought = sp.csr_matrix(matrix.toarray() * (np.random.default_rng(1).random(matrix.shape) < 0.4))
    graph = InteractionGraph(bought.astype(np.float32), matrix)
    every = fit_closed_form(TwoHopSpec(edges="all"), graph, seed=0).neighbours
    np.testing.assert_array_equal(
        every.toarray(), fit_closed_form(TwoHopSpec(), graph_of(matrix), seed=0).neighbours.toarray()
    )
    assert every.nnz > fit_closed_form(TwoHopSpec(), graph, seed=0).neighbours.nnz


@pytest.mark.parametrize(
    "wrong", [{"neighbours": 0}, {"kept_per": "row"}, {"user_power": 2.1}, {"target_power": -1.1}, {"edges": "x"}]
)
def test_a_spec_outside_the_space_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TwoHopSpec(**wrong)


class TestPrior:
    def test_orders_what_links_do_not_reach_and_changes_no_score_that_they_give(self) -> None:
        graph = graph_of(random_matrix(density=0.03))
        branch = fit_closed_form(TwoHopSpec(4), graph, seed=0)
        counts = np.bincount(graph.positives.indices, minlength=graph.num_items)
        scores = Fit(with_prior(branch, graph), 0).score_rows(graph.positives)(np.arange(graph.num_users))
        past = np.maximum(np.diff(graph.positives.indptr), 1) ** -0.5
        alone = (graph.positives @ branch.neighbours).toarray() * past[:, None].astype(np.float32)
        reached = alone > 0
        np.testing.assert_array_equal(scores[reached], alone[reached])
        assert 0 < reached.mean() < 0.9
        for user, others in enumerate(~reached):
            assert scores[user, others].max() < scores[user, reached[user]].min(initial=np.inf)
            order = np.argsort(-scores[user, others], kind="stable")
            np.testing.assert_array_equal(order, np.argsort(-counts[others], kind="stable"))

    def test_without_any_link_there_is_popularity(self) -> None:
        graph = graph_of(np.eye(4)[[0, 0, 1, 2, 2, 2, 3]])
        branches = with_prior(fit_closed_form(TwoHopSpec(), graph, seed=0), graph)
        scores = Fit(branches, 0).score_rows(graph.positives)(np.arange(7))
        np.testing.assert_allclose(scores[0], np.log([3, 2, 4, 2]), rtol=1e-6)

    def test_what_has_vectors_needs_none(self) -> None:
        graph = graph_of(random_matrix())
        branch = fit_closed_form(FilterSpec(), graph, seed=0)
        assert with_prior(branch, graph) == (branch,)
