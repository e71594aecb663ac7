"""The weights of a blend are the optimum of the stated problem, over what its branches recommend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from planted_blend import FILTER, NETWORK, POPULARITY, planted

from gnas_search.blend import assemble
from gnas_search.blend.assembly import PER_HISTORY_KINDS
from gnas_search.blend.candidates import CandidateScores
from gnas_search.specs import BranchSpec, Share, kind_of

PENALTY = 1e-3


def random_candidates(num_users: int = 6, *specs: BranchSpec, seed: int = 0) -> CandidateScores:
    """Some candidates per user, of which the first branch knows more than the others."""
    specs = specs or (NETWORK, POPULARITY)
    num_branches = len(specs)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 9, num_users)
    hits = rng.random(lengths.sum()) < 0.3
    hits[np.cumsum(lengths) - 1] = True
    scores = rng.standard_normal((len(hits), num_branches)) + np.outer(hits, 1.2 ** -np.arange(num_branches) - 0.5)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    relevant = np.add.reduceat(hits, offsets[:-1], dtype=np.int64)
    shares = tuple(Share(spec, 1.0) for spec in specs)
    return CandidateScores(shares, scores.astype(np.float32), hits, offsets, relevant, 5)


def stated_loss(candidates: CandidateScores, weights: npt.NDArray[np.float64], users: list[int]) -> float:
    """Compute the problem as its documentation states it, user by user: listwise likelihood and penalty."""
    losses = []
    closed = [kind_of(share.spec) in PER_HISTORY_KINDS for share in candidates.shares]
    for user in users:
        rows = slice(candidates.offsets[user], candidates.offsets[user + 1])
        scores = candidates.scores[rows].astype(np.float64)
        scores /= np.where(closed, np.sqrt((scores**2).mean(axis=0)), 1.0)  # a closed form has one size for all users
        logits = scores @ weights
        chances = np.exp(logits) / np.exp(logits).sum()
        losses.append(-np.log(chances[candidates.hits[rows]]).mean())
    return float(np.mean(losses) + PENALTY * weights @ weights)


class TestWeights:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("specs", [(NETWORK, POPULARITY), (NETWORK, FILTER)])
    def test_no_point_of_a_grid_is_better(self, specs: tuple[BranchSpec, ...], seed: int) -> None:
        candidates = random_candidates(6, *specs, seed=seed)
        found = candidates.fit_weights([0, 1], None)
        every = list(range(6))
        grid = [np.array([a, b]) for a in np.linspace(0, 4, 61) for b in np.linspace(0, 4, 61)]
        best = min(grid, key=lambda weights: stated_loss(candidates, weights, every))
        assert stated_loss(candidates, found, every) <= stated_loss(candidates, best, every) + 1e-6
        np.testing.assert_allclose(found, best, atol=0.15)
        assert (found >= 0).all()

    def test_a_branch_that_misleads_gets_no_weight(self) -> None:
        candidates = random_candidates(seed=1)
        wrong = np.where(candidates.hits, -1.0, 1.0).astype(np.float32)
        spoiled = replace(candidates, scores=np.stack([candidates.scores[:, 0], wrong], axis=1))
        weights = spoiled.fit_weights([0, 1], None)
        assert weights[1] == 0.0
        assert weights[0] == pytest.approx(candidates.fit_weights([0], None)[0], rel=1e-3)

    def test_some_users_and_some_branches(self) -> None:
        candidates = random_candidates(6, NETWORK, POPULARITY, FILTER)
        users = np.array([4, 1, 2])
        found = candidates.fit_weights([2, 0], users)
        shares = (candidates.shares[2], candidates.shares[0])
        only = replace(candidates, shares=shares, scores=candidates.scores[:, [2, 0]])
        near = [found + np.array(step) for step in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05))]
        for other in (np.maximum(weights, 0) for weights in near):
            assert stated_loss(only, found, users.tolist()) <= stated_loss(only, other, users.tolist()) + 1e-7

    def test_users_whose_items_nobody_proposes_are_left_out(self) -> None:
        candidates = random_candidates()
        last = slice(candidates.offsets[-2], None)
        hits = candidates.hits.copy()
        hits[last] = False
        without = replace(candidates, hits=hits)
        expected = candidates.fit_weights([0, 1], np.arange(5))
        np.testing.assert_allclose(without.fit_weights([0, 1], None), expected)
        np.testing.assert_array_equal(without.fit_weights([0, 1], np.array([5])), [0.0, 0.0])

    def test_ndcg_is_that_of_the_lists(self) -> None:
        candidates = random_candidates(20)
        weights = np.array([0.7, 0.2])
        users = np.array([3, 0, 19])
        found = candidates.ndcg([0, 1], weights, users)
        for place, user in enumerate(users):
            rows = slice(candidates.offsets[user], candidates.offsets[user + 1])
            hits = candidates.hits[rows][np.argsort(-(candidates.scores[rows].astype(float) @ weights))][:5]
            gain = (hits / np.log2(np.arange(len(hits)) + 2)).sum()
            ideal = (1 / np.log2(np.arange(min(5, candidates.num_relevant[user])) + 2)).sum()
            assert found[place] == pytest.approx(gain / ideal)


class TestCandidates:
    def test_they_are_what_any_branch_recommends_and_nothing_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gnas_search.blend.candidates._PER_BRANCH", 9)
        world = planted(30, 60)
        models = world.models("filter", "gnn")
        specs, branches = ([pair[side] for pair in models.values()] for side in (0, 1))
        found = CandidateScores.collect(specs, branches, world.graph, world.validation)
        seen = world.graph.positives.toarray() > 0
        relevant = world.validation.relevant.toarray() > 0
        assert len(found.offsets) == 31
        for user in range(30):
            scores = [branch.user_vectors[user] @ branch.item_vectors.T for branch in branches]
            proposed: set[int] = set()
            for one in scores:
                proposed |= set(np.argsort(-np.where(seen[user], -np.inf, one))[:9].tolist())
            chosen = np.array(sorted(proposed))
            rows = slice(found.offsets[user], found.offsets[user + 1])
            assembled = assemble(found.shares[:1], branches[:1], world.graph).score_rows(world.graph.positives)
            np.testing.assert_allclose(
                found.scores[rows, 0], assembled(np.array([user]))[0, chosen], rtol=1e-4, atol=1e-5
            )
            wanted = scores[1][chosen] / found.shares[1].spread
            np.testing.assert_allclose(found.scores[rows, 1], wanted, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(found.hits[rows], relevant[user, chosen])
        assert found.num_relevant.tolist() == relevant.sum(axis=1).tolist()

    def test_fewer_items_than_candidates(self) -> None:
        world = planted(10, 30)
        models = world.models("filter", "gnn")
        specs, branches = ([pair[side] for pair in models.values()] for side in (0, 1))
        found = CandidateScores.collect(specs, branches, world.graph, world.validation)
        assert np.diff(found.offsets).tolist() == (30 - np.diff(world.graph.positives.indptr)).tolist()
