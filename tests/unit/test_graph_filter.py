"""Graph filters against dense eigenvalues, EASE's closed form and PyG's propagation."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gnas_search.closed_form import FilterSpec
from gnas_search.closed_form import spectra as spectra_module
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.closed_form.graph_filter import RESPONSES
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_serve.errors import ConfigError

with warnings.catch_warnings():  # PyG scripts a class while it is imported, which torch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import LGConv


def graph_of(matrix: np.ndarray) -> InteractionGraph:
    positives = sp.csr_matrix(matrix.astype(np.float32))
    return InteractionGraph(positives, positives)


def random_matrix(seed: int = 0, shape: tuple[int, int] = (40, 22)) -> np.ndarray:
    # At most 22 columns: a decomposition of rank 6, with its 16 for safety, is then exact to rounding.
    matrix = np.random.default_rng(seed).random(shape) < np.linspace(0.6, 0.1, shape[1])
    matrix[3], matrix[:, 5] = False, False
    return matrix.astype(np.float64)


def dense_scores(spec: FilterSpec, matrix: np.ndarray) -> np.ndarray:
    """Score by the definition: all eigenvectors of the dense operator, each response written out again."""
    by_user, by_item = (np.maximum(matrix.sum(axis), 1.0) for axis in (1, 0))
    weighted = matrix * by_user[:, None] ** -spec.user_power * by_item**-spec.item_power
    values, vectors = np.linalg.eigh(weighted.T @ weighted)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = (np.arange(len(values)) < spec.rank) & (values > 1e-9 * values[0])
    relative = np.minimum(values / values[1], 1)
    gains = {
        "heat": np.exp(-spec.strength) * np.exp(spec.strength * relative),
        "ideal": np.ones(len(values)),
        "linear": values / values[0],
        "polynomial": 1 - (1 - relative) ** spec.strength,
        "ridge": values / (values + spec.strength * values.mean()),
        "sharpened": np.exp(-spec.strength * relative),
    }[spec.response]
    operator = (vectors * (gains * kept)) @ vectors.T
    return (matrix @ (by_item[:, None] ** -spec.item_power * operator * by_item**spec.item_power)) / np.sqrt(
        by_user[:, None]
    )


def fitted_scores(spec: FilterSpec, matrix: np.ndarray) -> np.ndarray:
    branch = fit_closed_form(spec, graph_of(matrix), seed=0)
    return branch.user_vectors @ branch.item_vectors.T


@pytest.mark.parametrize("powers", [(0.5, 0.5), (0.25, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("rank", [6, 22])
@pytest.mark.parametrize("response", sorted(RESPONSES))
def test_scores_are_those_of_the_dense_operator(response: str, rank: int, powers: tuple[float, float]) -> None:
    spec = FilterSpec(response, rank, strength=2.5, user_power=powers[0], item_power=powers[1])
    expected = dense_scores(spec, random_matrix())
    np.testing.assert_allclose(fitted_scores(spec, random_matrix()), expected, atol=1e-5 * np.abs(expected).max())


def test_a_ridge_of_full_rank_is_ridge_regression_of_each_item_on_the_history() -> None:
    matrix = random_matrix()
    gram = matrix.T @ matrix
    level = 0.7 * np.trace(gram) / len(gram)
    expected = matrix @ np.linalg.solve(gram + level * np.eye(len(gram)), gram)
    spec = FilterSpec("ridge", rank=22, strength=0.7, user_power=0.0, item_power=0.0)
    branch = fit_closed_form(spec, graph_of(matrix), seed=0, history_power=0.0)
    np.testing.assert_allclose(branch.user_vectors @ branch.item_vectors.T, expected, atol=1e-5)


def test_a_linear_filter_of_full_rank_is_three_layers_of_light_propagation() -> None:
    matrix = random_matrix()
    num_users, num_items = matrix.shape
    users, items = np.nonzero(matrix)
    edges = torch.tensor(np.stack([np.r_[users, items + num_users], np.r_[items + num_users, users]]))
    signal = torch.eye(num_users + num_items, dtype=torch.float64)
    for _ in range(3):
        signal = LGConv()(signal, edges)
    counts = np.maximum(matrix.sum(0), 1)
    expected = signal[:num_users, num_users:].numpy() * np.sqrt(counts)  # its largest eigenvalue is 1
    spec = FilterSpec("linear", rank=num_items)
    np.testing.assert_allclose(fitted_scores(spec, matrix), expected, atol=1e-5)


def test_a_polynomial_of_degree_two_is_turbo_cf() -> None:
    matrix = random_matrix()
    by_user, by_item = (np.maximum(matrix.sum(axis), 1.0) for axis in (1, 0))
    weighted = matrix / np.sqrt(np.outer(by_user, by_item))
    operator = weighted.T @ weighted
    values, vectors = np.linalg.eigh(operator)
    operator = (vectors * np.minimum(values / values[-2], 1)) @ vectors.T
    expected = weighted @ (2 * operator - operator @ operator) * np.sqrt(by_item)
    np.testing.assert_allclose(fitted_scores(FilterSpec("polynomial", 22, 2.0), matrix), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("response", "opposite"), [("heat", 0.001), ("polynomial", 1e6), ("ridge", 1e-6), ("sharpened", 0.0001)]
)
def test_at_one_end_of_its_strength_every_response_is_the_ideal_filter(response: str, opposite: float) -> None:
    ideal = fitted_scores(FilterSpec("ideal", 8), random_matrix())
    np.testing.assert_allclose(fitted_scores(FilterSpec(response, 8, opposite), random_matrix()), ideal, atol=2e-3)


def test_stronger_heat_smooths_and_stronger_sharpening_does_not() -> None:
    values = np.linspace(1, 0.01, 50)
    for response, sign in (("heat", -1), ("linear", -1), ("polynomial", -1), ("ridge", -1), ("sharpened", 1)):
        gains = RESPONSES[response].gains(values, 3.0, float(values.mean()))
        assert (sign * np.diff(gains[1:]) > 0).all(), response
        assert ((gains >= 0) & (gains <= 1)).all()


def test_directions_without_energy_are_dropped() -> None:
    """Two tastes make two columns, whatever the rank; a newcomer is not moved by rounding errors."""
    matrix = (np.arange(30)[:, None] + np.arange(20)) % 2 == 0
    branch = fit_closed_form(FilterSpec("ideal", 16), graph_of(matrix), seed=0)
    assert branch.facts.width == 2 == branch.user_vectors.shape[1]
    assert branch.fold_in.shape == (3, 2)


def test_other_events_are_smoothed_along_and_leave_the_fold_in_to_export() -> None:
    matrix = random_matrix()
    bought = sp.csr_matrix((matrix * (np.random.default_rng(1).random(matrix.shape) < 0.3)).astype(np.float32))
    graph = InteractionGraph(bought, sp.csr_matrix(matrix.astype(np.float32)))
    spec = FilterSpec("ridge", 10, 0.5)
    everything = fit_closed_form(replace(spec, edges="all"), graph, seed=0)
    np.testing.assert_array_equal(everything.user_vectors, fit_closed_form(spec, graph_of(matrix), seed=0).user_vectors)
    assert everything.fold_in is None
    assert fit_closed_form(spec, graph, seed=0).fold_in is not None
    alone = fit_closed_form(replace(spec, edges="all"), graph_of(matrix), seed=0)  # there is one event only
    assert alone.fold_in is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"response": "band"},
        {"edges": "none"},
        {"rank": 0},
        {"strength": 0.0},
        {"strength": float("inf")},
        {"user_power": -0.1},
        {"item_power": 1.1},
    ],
)
def test_a_spec_outside_the_space_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FilterSpec(**wrong)


class TestSpectra:
    def test_ranks_that_are_rounded_up_alike_are_the_leading_columns_of_one_decomposition(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        decompose = spectra_module.truncated_svd
        monkeypatch.setattr(
            spectra_module,
            "truncated_svd",
            lambda *given, **options: asked.append(given[1]) or decompose(*given, **options),
        )
        spectra = Spectra(graph_of(random_matrix()), 0)
        small, large = (spectra.of(0.5, 0.5, "target", rank) for rank in (4, 12))
        np.testing.assert_array_equal(small.vectors, large.vectors[:, :4])
        assert len(small.eigenvalues) == 4
        assert asked == [512]
        spectra.of(0.5, 0.5, "target", 513)
        assert asked == [512, 1024]

    def test_lean_ones_are_as_wide_as_asked_for_and_span_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        decompose = spectra_module.truncated_svd
        monkeypatch.setattr(
            spectra_module,
            "truncated_svd",
            lambda *given, **options: asked.append(options) or decompose(*given, **options),
        )
        graph = graph_of(random_matrix())
        lean, wide = (Spectra(graph, 0, lean=one).of(0.5, 0.5, "target", 4) for one in (True, False))
        assert [options["reuse_memory"] for options in asked] == [False, True]
        np.testing.assert_allclose(lean.eigenvalues, wide.eigenvalues, rtol=1e-3)
        assert lean.vectors.shape == wide.vectors.shape

    def test_a_filter_is_one_model_whatever_was_asked_for_before(self) -> None:
        """Also where a larger one is known, of which the leading columns are slightly others."""
        graph = graph_of(random_matrix(shape=(700, 600)))
        alone, after = Spectra(graph, 0), Spectra(graph, 0)
        larger = after.of(0.5, 0.5, "target", 560).vectors[:, :4]
        vectors = [spectra.of(0.5, 0.5, "target", 4).vectors for spectra in (alone, after)]
        np.testing.assert_array_equal(*vectors)
        assert (larger != vectors[0]).any()

    def test_the_last_few_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        decompose = spectra_module.truncated_svd
        monkeypatch.setattr(
            spectra_module, "truncated_svd", lambda *given, **options: asked.append(1) or decompose(*given, **options)
        )
        spectra = Spectra(graph_of(random_matrix()), 0)
        for power in (0.0, 0.1, 0.2, 0.0, 0.3, 0.0):
            spectra.of(power, 0.5, "target", 5)
        assert len(asked) == 4  # 0.0 was used in between, so 0.1 made way for 0.3
        spectra.of(0.1, 0.5, "target", 5)
        assert len(asked) == 5

    def test_filters_share_them_without_a_difference(self) -> None:
        graph = graph_of(random_matrix())
        spectra = Spectra(graph, 0)
        for response in RESPONSES:
            spec = FilterSpec(response, 9, 2.0)
            shared = fit_closed_form(spec, graph, seed=0, spectra=spectra)
            np.testing.assert_array_equal(shared.user_vectors, fit_closed_form(spec, graph, seed=0).user_vectors)

    def test_those_of_another_graph_or_seed_are_refused(self) -> None:
        graph = graph_of(random_matrix())
        for other in (Spectra(graph_of(random_matrix()), 0), Spectra(graph, 1)):
            with pytest.raises(ValueError, match="another graph or seed"):
                fit_closed_form(FilterSpec(), graph, seed=0, spectra=other)
