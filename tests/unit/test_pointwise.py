"""AUC against every pair compared by hand, calibration against a plain optimum, and labels against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_search.labels import LabelledPairs, rated_low, sampled
from gnas_search.observation import observe
from gnas_search.pointwise import Calibration, auc, calibrate, pair_accuracy, pair_log_loss, percentiles

WANTED, MASKED, OTHER = 2, 1, 0


def _scored(users: list[list[tuple[int, int]]]) -> tuple[np.ndarray, sp.csr_matrix]:
    """Give scores and relevant items of users who say of every item its score and what it is."""
    scores = np.array([[-np.inf if kind == MASKED else score for score, kind in user] for user in users], np.float32)
    wanted = np.array([[kind == WANTED for _, kind in user] for user in users])
    return scores, sp.csr_matrix(wanted.astype(np.float32))


def _by_all_pairs(user: list[tuple[int, int]]) -> float:
    wanted = [score for score, kind in user if kind == WANTED]
    others = [score for score, kind in user if kind == OTHER]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in wanted for b in others]
    return sum(wins) / len(wins) if wins else math.nan


@settings(deadline=None)
@given(
    st.integers(1, 24).flatmap(
        lambda num_items: st.lists(
            st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=num_items, max_size=num_items),
            min_size=1,
            max_size=5,
        )
    )
)
def test_auc_compares_every_relevant_item_with_every_other(users: list[list[tuple[int, int]]]) -> None:
    scores, relevant = _scored(users)
    found = auc(percentiles(scores, relevant), relevant)
    expected = [_by_all_pairs(user) for user in users]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_auc_of_few_and_of_many_relevant_items_by_hand() -> None:
    scores, relevant = _scored([[(5, OTHER), (4, WANTED), (4, OTHER), (9, MASKED), (1, OTHER), (0, WANTED)]])
    # 4 is above 1 and level with 4, below 5; 0 is above nothing.
    assert auc(percentiles(scores, relevant), relevant).tolist() == [pytest.approx((1.5 / 3 + 0) / 2)]
    rng = np.random.default_rng(0)
    many = np.round(rng.normal(size=(1, 400)), 1).astype(np.float32)
    wanted = sp.csr_matrix((rng.random((1, 400)) < 0.5).astype(np.float32))
    a, b = many[0][wanted.toarray()[0] > 0][:, None], many[0][wanted.toarray()[0] == 0][None, :]
    expected = (a > b).mean() + 0.5 * (a == b).mean()
    assert auc(percentiles(many, wanted), wanted)[0] == pytest.approx(expected, abs=1e-12)


def test_relevant_items_that_the_data_does_not_know_stand_below_all_others() -> None:
    scores, relevant = _scored([[(5, WANTED), (4, OTHER)], [(5, OTHER), (4, OTHER)], [(1, WANTED), (1, WANTED)]])
    shares = percentiles(scores, relevant)
    assert auc(shares, relevant, np.array([2, 3, 2])).tolist() == pytest.approx([0.5, 0.0, math.nan], nan_ok=True)
    assert auc(shares, relevant).tolist() == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)


def _reference_curve(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Minimise the same loss with torch's L-BFGS."""
    positives = labels.sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    curve = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    x, y, w = (torch.tensor(part, dtype=torch.float64) for part in (scores, targets, weights / weights.sum()))
    optimiser = torch.optim.LBFGS([curve], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        margins = curve[0] * x + curve[1]
        value = (w * torch.nn.functional.binary_cross_entropy_with_logits(margins, y, reduction="none")).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    return float(curve[0].detach()), float(curve[1].detach())


@pytest.mark.parametrize("seed", range(4))
def test_a_calibration_is_the_best_logistic_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(loc=0.5, size=300)
    labels = rng.random(300) < 1 / (1 + np.exp(-(2.0 * scores - 1.0)))
    weights = rng.random(300) + 0.1
    found = calibrate(scores, labels, weights)
    slope, intercept = _reference_curve(scores, labels, weights)
    assert (found.slope, found.intercept) == (pytest.approx(slope, abs=1e-4), pytest.approx(intercept, abs=1e-4))


def test_a_calibration_takes_the_scale_off_scores() -> None:
    rng = np.random.default_rng(0)
    scores, weights = rng.normal(size=500), np.ones(500)
    labels = rng.random(500) < 1 / (1 + np.exp(-scores))
    plain = calibrate(scores, labels, weights).margins(scores)
    for scaled in (1e6 * scores - 3e7, 1e-5 * scores + 1e-3, (100 * scores + 5).astype(np.float32)):
        np.testing.assert_allclose(calibrate(scaled, labels, weights).margins(scaled), plain, atol=1e-3)


def test_a_calibration_is_finite_where_scores_say_everything_or_nothing() -> None:
    labels, weights = np.array([True, False, False]), np.ones(3)
    divided = calibrate(np.array([5.0, 1.0, 0.0]), labels, weights)
    assert divided.slope > 0
    assert np.isfinite(divided.margins(np.array([5.0]))).all()
    nothing = calibrate(np.full(3, 7.0, np.float32), labels, weights)
    # Platt's targets: 2 / 3 for the one positive, 1 / 4 for either negative.
    share = (2 / 3 + 1 / 4 + 1 / 4) / 3
    assert nothing.slope == 0
    assert nothing.margins(np.array([7.0]))[0] == pytest.approx(math.log(share / (1 - share)))
    only = calibrate(np.array([1.0, 2.0]), np.array([True, True]), np.ones(2))
    assert np.isfinite([only.slope, only.intercept]).all()
    with pytest.raises(ValueError, match="at least one pair"):
        calibrate(np.empty(0), np.empty(0, bool), np.empty(0))


def test_log_loss_and_accuracy_by_hand() -> None:
    curve = Calibration(slope=math.log(3), intercept=0.0)
    margins = curve.margins(np.array([1.0, 1.0, -1.0, 0.0]))
    labels = np.array([True, False, False, True])
    expected = [-math.log(0.75), -math.log(0.25), -math.log(0.75), math.log(2)]
    assert pair_log_loss(margins, labels).tolist() == pytest.approx(expected)
    assert pair_accuracy(margins, labels).tolist() == [1, 0, 1, 1]
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(margins), torch.tensor(labels, dtype=torch.float64), reduction="none"
    )
    np.testing.assert_allclose(pair_log_loss(margins, labels), theirs.numpy())
    assert math.isnan(pair_accuracy(np.array([math.nan]), np.array([True]))[0])
    assert pair_log_loss(np.array([-800.0]), np.array([True])).tolist() == [800.0]


def test_pairs_are_averaged_user_by_user() -> None:
    pairs = LabelledPairs(np.array([0, 0, 2]), np.array([3, 4, 5]), np.array([True, False, True]), 4)
    assert pairs.per_user(np.array([1.0, 3.0, 5.0])).tolist() == pytest.approx([2, math.nan, 5, math.nan], nan_ok=True)
    assert pairs.weights().tolist() == [0.5, 0.5, 1]
    assert (pairs.span(0, 1), pairs.span(1, 3)) == (slice(0, 2), slice(2, 3))


def test_low_ratings_are_the_negatives_where_they_are_known() -> None:
    relevant, negatives = sp.csr_matrix(np.eye(3, 5)), sp.csr_matrix(np.eye(3, 5, 2))
    pairs = rated_low(relevant, negatives)
    assert pairs.users.tolist() == [0, 0, 1, 1, 2, 2]
    assert pairs.items.tolist() == [0, 2, 1, 3, 2, 4]
    assert pairs.labels.tolist() == [True, False] * 3


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(2, 12))
def test_drawn_negatives_are_as_many_and_new_to_the_user(seed: int, num_items: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (6, num_items))
    relevant, masked = (sp.csr_matrix((kinds == kind).astype(np.float32)) for kind in (WANTED, MASKED))
    pairs = sampled(relevant, masked, seed=seed, keys=np.arange(6))
    for user in range(6):
        mine = pairs.users == user
        drawn = pairs.items[mine & ~pairs.labels].tolist()
        assert sorted(pairs.items[mine & pairs.labels]) == np.flatnonzero(kinds[user] == WANTED).tolist()
        assert len(drawn) == len(set(drawn)) == min((kinds[user] == WANTED).sum(), (kinds[user] == OTHER).sum())
        assert all(kinds[user, item] == OTHER for item in drawn)
    # A user's draw is the same among other users.
    alone = sampled(relevant[3:5], masked[3:5], seed=seed, keys=np.array([3, 4]))
    chosen = np.isin(pairs.users, [3, 4])
    np.testing.assert_array_equal(alone.items, pairs.items[chosen])


def test_negatives_are_drawn_uniformly() -> None:
    relevant, masked = sp.csr_matrix(np.eye(1, 10)), sp.csr_matrix(np.eye(1, 10, 9))
    counts = np.zeros(10)
    for seed in range(2000):
        pairs = sampled(relevant, masked, seed=seed, keys=np.array([0]))
        counts[pairs.items[~pairs.labels]] += 1
    assert counts[[0, 9]].tolist() == [0, 0]
    assert np.abs(counts[1:9] - 250).max() < 5 * math.sqrt(250 * 7 / 8)


def test_blocks_are_put_together() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(9, 20)).astype(np.float32)
    relevant = sp.csr_matrix((rng.random((9, 20)) < 0.2).astype(np.float32))
    pairs = sampled(relevant, sp.csr_matrix((9, 20)), seed=0, keys=np.arange(9))
    whole = observe([scores], relevant, k=3, pairs=pairs)
    parts = observe(iter([scores[:4], scores[4:5], scores[5:]]), relevant, k=3, pairs=pairs)
    np.testing.assert_array_equal(np.stack(whole.lists), np.stack(parts.lists))
    np.testing.assert_array_equal(whole.shares, parts.shares)
    np.testing.assert_array_equal(whole.pair_scores, parts.pair_scores)
    np.testing.assert_array_equal(whole.pair_scores, scores[pairs.users, pairs.items])
    assert observe([scores], relevant, k=3, ranks_all=False).shares is None
    for wrong in ([scores[:4]], [scores, scores]):
        with pytest.raises(ValueError, match="users"):
            observe(wrong, relevant, k=3)
