"""Blends: the weights are the optimum of the stated problem, and what does not pay is dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blend import FILTER, NETWORK, POPULARITY, Models, Planted, planted

from gnas_search.blend import Blended, assemble, blend, blending
from gnas_search.blend.assembly import history_lengths
from gnas_search.blend.candidates import CandidateScores
from gnas_search.blend.spread import spread_of
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.evidence import Catalogue
from gnas_search.exposure import exposure
from gnas_search.fit import Branch, Fit
from gnas_search.specs import BranchSpec
from gnas_search.validation_measures import ObjectiveJudge
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.runtime.topk import top_k


@pytest.fixture(scope="module")
def world() -> Planted:
    return planted()


def blended(world: Planted, models: Models, seed: int = 0) -> Blended:
    found = blend(models, world.graph, world.validation, seed=seed, epochs=7)
    assert found is not None
    return found


def ndcg_of(world: Planted, fit: Fit) -> float:
    return world.validation.score_with(fit.score_rows(world.graph.positives)).mean()[1]


class TestBlend:
    def test_two_branches_that_complement_each_other_beat_either(self, world: Planted) -> None:
        models = world.models("filter", "gnn")
        found = blended(world, models)
        assert [share.spec for share in found.spec.shares] == [FILTER, NETWORK]
        alone = [ndcg_of(world, Fit((branch,), 0)) for _, branch in models.values()]
        assert found.metrics.mean()[1] > max(alone) + 0.1
        assert ndcg_of(world, found.fit) > max(alone) + 0.1
        first, second = (share.weight for share in found.spec.shares)
        assert 0.6 < first / second < 1.7  # planted with equal strength
        assert (found.fit.epochs, len(found.fit.branches)) == (7, 2)
        assert found.spec.dims is None

    def test_a_useless_branch_is_dropped(self, world: Planted) -> None:
        three = world.models("filter", "gnn") | {"popularity": world.models("filter", "popularity")["popularity"]}
        assert {share.spec for share in blended(world, three).spec.shares} == {FILTER, NETWORK}
        useless = world.models("filter", "gnn", useless=True)
        assert blend(useless, world.graph, world.validation, seed=0) is None

    def test_small_losses_do_not_add_up(self) -> None:
        """Dropping one branch loses .2 %, the next as much again: together that is too much."""

        class Prescribed:
            def fit_weights(self, places: list[int], _: object) -> np.ndarray:
                return np.ones(len(places))

            def cross_fitted(self, places: list[int], _: object) -> np.ndarray:
                return np.full(400, 0.3 * (1 - 0.002 * (3 - len(places)) - 0.1 * (0 not in places)))

        assert blending.LEAST_GAIN > 0.002
        kept, weights = blending._prune(Prescribed(), 3, blending.halved(400, 0))  # type: ignore[arg-type]
        assert len(kept) == 2
        assert 0 in kept
        assert weights.tolist() == [1.0, 1.0]

    def test_fresh_users_decide_and_the_others_are_measured(self, world: Planted) -> None:
        """The weights are those of the fresh users alone; all others are then measured by them."""
        places = np.arange(len(world.validation.users))
        fresh, judged = world.validation.subset(places[::2]), world.validation.subset(places[1::2])
        models = world.models("filter", "gnn")
        found = blend(models, world.graph, judged, seed=0, fresh=fresh)
        assert found is not None
        alone = blend(models, world.graph, fresh, seed=0)
        assert alone is not None
        assert found.spec == alone.spec
        assert found.spec != blended(world, models).spec
        expected = judged.score_with(found.fit.score_rows(world.graph.positives))
        np.testing.assert_array_equal(found.metrics.ndcg, expected.ndcg)
        np.testing.assert_array_equal(found.metrics.recall, expected.recall)

    def test_a_single_model_is_no_blend(self, world: Planted) -> None:
        assert blend(world.models("filter"), world.graph, world.validation, seed=0) is None

    def test_the_same_arguments_give_the_same_blend(self, world: Planted) -> None:
        first, again = (blended(world, world.models("filter", "gnn")) for _ in range(2))
        assert first.spec == again.spec
        np.testing.assert_array_equal(first.metrics.ndcg, again.metrics.ndcg)

    def test_the_unit_of_a_models_scores_is_of_no_matter(self, world: Planted) -> None:
        plain = blended(world, world.models("filter", "gnn"))
        models = world.models("filter", "gnn")
        spec, branch = models["gnn"]
        models["gnn"] = spec, replace(branch, item_vectors=branch.item_vectors * np.float32(1000.0))
        scaled = blended(world, models)
        for one, other in zip(plain.spec.shares, scaled.spec.shares, strict=True):
            assert other.weight == pytest.approx(one.weight, rel=1e-3)
        assert scaled.spec.shares[1].spread == pytest.approx(1000 * plain.spec.shares[1].spread, rel=1e-4)
        np.testing.assert_allclose(scaled.fit.item_vectors, plain.fit.item_vectors, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(scaled.metrics.ndcg.mean(), plain.metrics.ndcg.mean(), atol=2e-3)

    def test_the_order_of_the_models_is_of_no_matter(self, world: Planted) -> None:
        models = world.models("filter", "gnn")
        one, other = blended(world, models), blended(world, dict(reversed(models.items())))
        weights = [{share.spec: share.weight for share in found.spec.shares} for found in (one, other)]
        assert weights[0] == pytest.approx(weights[1], rel=1e-3)

    def test_each_half_is_measured_by_the_weights_of_the_other(self) -> None:
        """Where weights overfit a handful of users, the honest figure differs from the one on those users."""
        world = planted(16, 80, seed=3)
        models = world.models("filter", "gnn")
        found = blended(world, models)
        inside = world.validation.score_with(found.fit.score_rows(world.graph.positives))
        assert not np.array_equal(found.metrics.ndcg, inside.ndcg)
        specs, branches = ([pair[side] for pair in models.values()] for side in (0, 1))
        candidates = CandidateScores.collect(specs, branches, world.graph, world.validation)
        shares = candidates.shares
        order = np.random.default_rng([0, 16]).permutation(16)
        halves = np.sort(order[:8]), np.sort(order[8:])
        for fitted_on, measured_on in (halves, halves[::-1]):
            weights = candidates.fit_weights([0, 1], fitted_on)
            fit = assemble(
                [replace(share, weight=float(weight)) for share, weight in zip(shares, weights, strict=True)],
                branches,
                world.graph,
            )
            expected = world.validation.subset(measured_on).score_with(fit.score_rows(world.graph.positives))
            np.testing.assert_allclose(found.metrics.ndcg[measured_on], expected.ndcg)
            np.testing.assert_allclose(found.metrics.recall[measured_on], expected.recall)

    def test_what_lists_show_of_the_catalogue_is_told_over_all_users(self) -> None:
        """The lists of both halves together show more items than those of either: a mean over halves is too low."""
        world = planted(16, 80, seed=3)
        models = world.models("filter", "gnn")
        counts = np.asarray(world.graph.positives.sum(axis=0), dtype=np.int64).ravel()
        names = ("ndcg@20", "coverage@5", "gini@5", "novelty@5", "auc")
        judged = world.validation.judged_by(ObjectiveJudge(names, Catalogue(counts, 16, None), 0))
        found = blend(models, world.graph, judged, seed=0)
        assert found is not None
        specs, branches = ([pair[side] for pair in models.values()] for side in (0, 1))
        candidates = CandidateScores.collect(specs, branches, world.graph, world.validation)
        lists: dict[int, np.ndarray] = {}
        halves = blending.halved(16, 0)
        for fitted_on, measured_on in (halves, halves[::-1]):
            weights = candidates.fit_weights([0, 1], fitted_on)
            fit = assemble(blending._weighted(candidates.shares, weights), branches, world.graph)
            part = world.validation.subset(measured_on)
            (scores,) = part.score_blocks(fit.score_rows(world.graph.positives))
            lists |= {int(place): top_k(row, 5) for place, row in zip(measured_on, scores, strict=True)}
        shown = exposure([lists[place] for place in range(16)], counts, 16, None, 5)
        assert 0.3 < shown["coverage@5"] < 0.9
        assert {name: found.metrics.values[name] for name in shown} == pytest.approx(shown)
        plain = blended(world, models)
        np.testing.assert_allclose(found.metrics.ndcg, plain.metrics.ndcg)
        np.testing.assert_array_equal(found.metrics.quality, found.metrics.ndcg)

    def test_two_hops_that_suffice_alone_are_no_blend(self, world: Planted) -> None:
        """Beside vectors of noise, links that know the answers need nothing else."""
        graph = world.graph
        relevant = world.validation.relevant
        answers = (graph.positives.T @ relevant).toarray().astype(np.float32)
        links = sp.csr_matrix(answers * (answers > 0))
        nobody = (np.empty((count, 0), np.float32) for count in (160, 120))
        two_hop = Branch(BranchFacts("links", "two-hop", 0), *nobody, neighbours=links)
        noise = world.models("filter", "gnn", useless=True)["gnn"]
        assert blend({"two-hop": (TwoHopSpec(), two_hop), "gnn": noise}, graph, world.validation, seed=0) is None

    def test_scores_that_are_all_zero(self, world: Planted) -> None:
        models = world.models("filter", "gnn")
        nothing = {
            kind: (spec, replace(branch, item_vectors=np.zeros_like(branch.item_vectors)))
            for kind, (spec, branch) in models.items()
        }
        assert blend(nothing, world.graph, world.validation, seed=0) is None
        one = models | {"gnn": nothing["gnn"]}
        assert blend(one, world.graph, world.validation, seed=0) is None

    @pytest.mark.parametrize("num_users", [1, 2, 3])
    def test_very_few_users(self, num_users: int) -> None:
        world = planted(num_users, 40)
        found = blend(world.models("filter", "gnn"), world.graph, world.validation, seed=0)
        if found is not None:
            assert np.isfinite(found.metrics.ndcg).all()
            assert len(found.metrics.ndcg) == num_users


class TestSpread:
    def shop(self) -> Planted:
        """Histories of few and of many items; the last tenth of everybody's likings is held out."""
        rng = np.random.default_rng(0)
        dense = rng.random((80, 60)) < np.linspace(0.05, 0.5, 80)[:, None]
        dense[:, 0], dense[:, 54:] = True, rng.random((80, 6)) < 0.4
        held_out = dense.copy()
        held_out[:, :54] = False
        positives = sp.csr_matrix((dense & ~held_out).astype(np.float32))
        validation = Validation(positives, sp.csr_matrix(held_out.astype(np.float32)), max_users=None, seed=0)
        nothing = (np.empty((80, 0)), np.empty((60, 0)))
        return Planted(InteractionGraph(positives, positives), validation, (nothing, nothing))

    def collected(self, world: Planted, spec: BranchSpec, branch: Branch) -> CandidateScores:
        return CandidateScores.collect([spec], [branch], world.graph, world.validation)

    @pytest.mark.parametrize("spec", [FILTER, TwoHopSpec(neighbours=20)])
    def test_a_closed_form_is_brought_to_one_size_whatever_the_history(self, spec: FilterSpec | TwoHopSpec) -> None:
        world = self.shop()
        found = self.collected(world, spec, fit_closed_form(spec, world.graph, seed=0))
        share = found.shares[0]
        assert 0.2 < share.history_power <= 1.5
        squares = np.add.reduceat(found.scores[:, 0].astype(np.float64) ** 2, found.offsets[:-1])
        sizes = np.sqrt(squares / np.diff(found.offsets))
        assert np.exp(np.log(sizes).mean()) == pytest.approx(1.0, rel=1e-3)
        lengths = np.log(history_lengths(spec, world.graph)[world.validation.users])
        assert abs(np.polyfit(lengths, np.log(sizes), 1)[0]) < 0.02

    def test_a_network_and_popularity_are_only_scaled(self) -> None:
        world = self.shop()
        rng = np.random.default_rng(1)
        users = rng.standard_normal((80, 4)) * np.diff(world.graph.positives.indptr)[:, None]
        items = rng.standard_normal((60, 4)).astype(np.float32)
        network = Branch(BranchFacts("n", "gnn", 4), users.astype(np.float32), items)
        for spec, branch in ((NETWORK, network), (POPULARITY, fit_closed_form(POPULARITY, world.graph, seed=0))):
            share = self.collected(world, spec, branch).shares[0]
            assert share.history_power == 0.0
            scores = assemble([share], [branch], world.graph).score_rows(world.graph.positives)(np.arange(80))
            whole = branch.user_vectors @ branch.item_vectors.T
            np.testing.assert_allclose(scores, whole / share.spread, rtol=1e-4, atol=1e-4)

    def test_the_law_is_found(self) -> None:
        lengths = np.array([1, 2, 5, 9, 40])
        assert spread_of(3.0 * lengths**0.7, lengths, per_history=True) == pytest.approx((3.0, 0.7))
        assert spread_of(3.0 * lengths**0.0, lengths, per_history=False) == pytest.approx((3.0, 0.0))
        # Users without scores say nothing, users of one length nothing of the power, and it stays within its range.
        some = np.where(lengths == 5, 0.0, 2.0 * lengths**1.0)
        assert spread_of(some, lengths, per_history=True) == pytest.approx((2.0, 1.0))
        assert spread_of(np.array([2.0, 8.0]), np.array([3, 3]), per_history=True) == pytest.approx((4.0, 0.0))
        assert spread_of(lengths**-1.0, lengths, per_history=True)[1] == 0.0
        assert spread_of(lengths**3.0, lengths, per_history=True)[1] == 1.5
        assert spread_of(np.zeros(5), lengths, per_history=True) == (1.0, 0.0)
        assert spread_of(np.array([4.0]), np.array([7]), per_history=True) == pytest.approx((4.0, 0.0))

    def test_filters_over_every_event_count_those(self) -> None:
        positives = sp.csr_matrix(np.eye(3, dtype=np.float32))
        graph = InteractionGraph(positives, sp.csr_matrix(np.ones((3, 3), np.float32)))
        assert history_lengths(replace(FILTER, edges="all"), graph).tolist() == [3, 3, 3]
        assert history_lengths(FILTER, graph).tolist() == [1, 1, 1]
        assert history_lengths(TwoHopSpec(edges="all"), graph).tolist() == [1, 1, 1]


def test_a_subset_of_the_validation_users(world: Planted) -> None:
    places = np.array([5, 0, 7])
    whole = world.validation.score(*world.tastes[0])
    part: Validation = world.validation.subset(places)
    np.testing.assert_array_equal(part.score(*world.tastes[0]).ndcg, whole.ndcg[places])
    assert len(world.validation.users) == 160
