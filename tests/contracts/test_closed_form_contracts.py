"""What every closed form promises. A new family needs three lines here."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.closed_form import (
    CLOSED_FORMS,
    ClosedFormSpec,
    FilterSpec,
    PopularitySpec,
    TwoHopSpec,
    closed_form_from_json,
)
from gnas_search.closed_form.fitting import FITS, fit_closed_form, with_prior
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch, Fit, branches_from, to_arrays
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts
from gnas_serve.errors import ConfigError
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours


def graph_of(matrix: np.ndarray) -> InteractionGraph:
    positives = sp.csr_matrix(matrix.astype(np.float32))
    return InteractionGraph(positives, positives)


def shop() -> InteractionGraph:
    """60 users and 30 items, popular ones and others; user 7 has nothing, user 8 everything, item 9 nobody."""
    rng = np.random.default_rng(0)
    matrix = rng.random((60, 30)) < np.linspace(0.5, 0.05, 30)
    matrix[7], matrix[8], matrix[:, 9] = False, True, False
    return graph_of(matrix)


def scores_of(fit: Fit, graph: InteractionGraph) -> np.ndarray:
    return fit.score_rows(graph.positives)(np.arange(graph.num_users))


def newcomer_scores(branch: Branch, graph: InteractionGraph, history: np.ndarray) -> np.ndarray:
    """Score a history as the service does for a user whom it does not know."""
    if branch.facts.kind == TWO_HOP:
        links = branch.neighbours
        known = Neighbours(links.indptr.astype(np.int64), links.indices, links.data, branch.facts.history_power)
        return known.scores(history)
    counts = np.bincount(graph.positives.indices, minlength=graph.num_items).astype(np.int32)
    fold_in = FoldIn(branch.fold_in.ravel(), EmbeddingTable(branch.item_vectors), counts, (branch.facts,))
    return branch.item_vectors @ fold_in.vector(history)


class ClosedFormContract:
    """Subclass with ``spec``, one that differs from the defaults wherever it can."""

    spec: ClassVar[ClosedFormSpec]

    def test_survives_its_json_form(self) -> None:
        raw = self.spec.to_json()
        assert raw["kind"] == self.spec.KIND
        assert closed_form_from_json(raw) == self.spec
        assert self.spec.from_json({name: value for name, value in raw.items() if name != "kind"}) == self.spec
        assert self.spec.from_json({}) == type(self.spec)()

    def test_equal_models_have_equal_keys(self) -> None:
        assert self.spec.key() == self.spec.canonical().key() == closed_form_from_json(self.spec.to_json()).key()
        assert self.spec.key().startswith(self.spec.KIND)
        settings = {name: value for name, value in self.spec.to_json().items() if name != "kind"}
        defaults = type(self.spec)().canonical()
        for name, value in settings.items():
            changed = replace(defaults, **{name: value})
            assert (changed.key() == defaults.key()) == (changed.canonical() == defaults), name

    def test_names_what_is_wrong_with_a_spec(self) -> None:
        with pytest.raises(ConfigError, match="spec field 'depth'"):
            self.spec.from_json({"depth": 3})
        with pytest.raises(ConfigError, match="kind"):
            self.spec.from_json({"kind": "gnn"})
        for name, value in self.spec.to_json().items():
            with pytest.raises(ConfigError, match=name):
                self.spec.from_json({name: [value]})
            if isinstance(value, float):
                with pytest.raises(ConfigError, match=name):
                    replace(self.spec, **{name: float("nan")})

    def test_summary_tells_settings_apart(self) -> None:
        assert self.spec.summary()
        if len(self.spec.to_json()) > 1:
            assert self.spec.summary() != type(self.spec)().summary()

    def test_equal_arguments_equal_bytes(self) -> None:
        first, again = (to_arrays(Fit((fit_closed_form(self.spec, shop(), seed=3),), 0)) for _ in range(2))
        assert first.keys() == again.keys()
        assert all(first[name].tobytes() == again[name].tobytes() for name in first)

    def test_facts_describe_it_and_it_survives_storage(self) -> None:
        graph = shop()
        branches = with_prior(fit_closed_form(self.spec, graph, seed=0, history_power=0.75), graph)
        facts = tuple(BranchFacts.from_json(branch.facts.to_json()) for branch in branches)
        assert (facts[0].name, facts[0].kind, facts[0].history_power) == (self.spec.key(), self.spec.KIND, 0.75)
        again = Fit(branches_from(facts, to_arrays(Fit(branches, 0))), 0)
        np.testing.assert_array_equal(scores_of(again, graph), scores_of(Fit(branches, 0), graph))

    def test_a_user_of_the_fit_scores_as_a_newcomer_with_the_same_history(self) -> None:
        graph = shop()
        branch = fit_closed_form(self.spec, graph, seed=0, history_power=0.3)
        known = scores_of(Fit(with_prior(branch, graph), 0), graph)
        for user in range(graph.num_users):
            history = graph.positives[user].indices
            folded = newcomer_scores(branch, graph, history)
            np.testing.assert_allclose(folded, known[user], rtol=1e-5, atol=1e-6 * np.abs(known).max())

    def test_history_power_scales_users_and_reorders_nothing(self) -> None:
        graph = shop()
        whole, divided = (
            scores_of(Fit(with_prior(fit_closed_form(self.spec, graph, seed=0, history_power=power), graph), 0), graph)
            for power in (0.0, 1.0)
        )
        lengths = np.maximum(np.diff(graph.positives.indptr), 1)[:, None]
        factor = 1 if self.spec.KIND == "popularity" else lengths
        np.testing.assert_allclose(divided * factor, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())

    def test_with_its_prior_it_ranks_every_item(self) -> None:
        graph = shop()
        fit = Fit(with_prior(fit_closed_form(self.spec, graph, seed=0), graph), 0)
        scores = scores_of(fit, graph)
        assert scores.shape == (60, 30)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert fit.item_vectors.shape[1] >= 1
        assert (scores[8] != 0).sum() >= 29  # item 9 has no interaction

    @pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 4), (3, 6)])
    def test_small_data(self, shape: tuple[int, int]) -> None:
        graph = graph_of(np.ones(shape))
        branches = with_prior(fit_closed_form(self.spec, graph, seed=0), graph)
        scores = scores_of(Fit(branches, 0), graph)
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores, np.full(shape, scores[0, 0]), rtol=1e-3)  # all are alike, and none is lost
        assert scores[0, 0] > 0


class TestFilter(ClosedFormContract):
    spec = FilterSpec(response="ridge", rank=12, strength=0.5, user_power=0.25, item_power=0.3)


class TestFilterWhoseRankIsTheMatrixs(ClosedFormContract):
    spec = FilterSpec(response="heat", rank=500, strength=2.0, user_power=0.0, item_power=0.0)


class TestPopularity(ClosedFormContract):
    spec = PopularitySpec()


class TestTwoHop(ClosedFormContract):
    spec = TwoHopSpec(neighbours=7, user_power=0.3, source_power=0.7, target_power=0.4)


class TestTwoHopKeptPerTarget(ClosedFormContract):
    spec = TwoHopSpec(neighbours=7, kept_per="target", user_power=0.0, target_power=0.5)


def test_every_family_keeps_the_contract() -> None:
    assert {contract.spec.KIND for contract in ClosedFormContract.__subclasses__()} == set(CLOSED_FORMS)
    assert list(CLOSED_FORMS) == sorted(CLOSED_FORMS) == list(FITS)
    assert all(kind == spec.KIND for kind, spec in CLOSED_FORMS.items())


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'two-hop'"):
        closed_form_from_json({"kind": "twohop"})
