"""Paired tests against full enumeration and independent references, and intervals from shared resamples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_search.bootstrap import interval, intervals, paired_interval
from gnas_search.comparison import compare, holm, sign_flip


def _enumerated(differences: np.ndarray) -> float:
    """Count all ways to give the differences signs."""
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    return float(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9))


@pytest.mark.parametrize("seed", range(5))
def test_the_test_draws_from_all_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = np.round(rng.normal(loc=0.3, size=(9, 3)), 1)
    found = sign_flip(differences, seed=seed, rounds=20_000)
    assert found.tolist() == pytest.approx([_enumerated(column) for column in differences.T], abs=0.015)


def test_no_difference_is_certain_and_a_large_one_as_rare_as_draws_can_tell() -> None:
    nothing = np.zeros((50, 1))
    always = np.full((50, 1), 0.1)
    found = sign_flip(np.hstack([nothing, always]), seed=0, rounds=999)
    assert found.tolist() == [1.0, 1 / 1000]
    # Users without a difference change nothing.
    few = np.array([[0.3], [-0.1], [0.2]])
    np.testing.assert_array_equal(
        sign_flip(few, seed=3), sign_flip(np.vstack([few[:1], np.zeros((99, 1)), few[1:]]), seed=3)
    )


def test_equal_models_are_found_different_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    chances = np.concatenate([sign_flip(rng.standard_t(3, (60, 40)), seed=s, rounds=400) for s in range(10)])
    assert 0.02 <= np.mean(chances <= 0.05) <= 0.08
    assert np.mean(chances) == pytest.approx(0.5, abs=0.05)


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04: times 4, 3, 2, 1, never less than the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_holm_rejects_step_by_step(p_values: list[float], level: float) -> None:
    rejected = set()
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[place] * (len(p_values) - done) > level:
            break
        rejected.add(place)
    assert {place for place, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_intervals_are_those_of_each_metric_alone() -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.random(80), "b": rng.normal(size=80), "c": rng.random(80), "nothing": np.full(80, np.nan)}
    values["c"][::3] = np.nan
    found = intervals(values, seed=4, rounds=200)
    assert list(found) == ["a", "b", "c"]
    for name, one in found.items():
        alone = interval(values[name][np.isfinite(values[name])], 4, rounds=200)
        assert (one.value, one.low, one.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_models_are_compared_on_the_users_they_share() -> None:
    rng = np.random.default_rng(0)
    base = {"ndcg@20": rng.random(200), "log_loss": rng.random(200), "auc": rng.random(200)}
    better = {**base, "ndcg@20": base["ndcg@20"] + 0.05, "log_loss": base["log_loss"] - rng.random(200)}
    better["ndcg@20"][:50] = np.nan
    same = {"ndcg@20": base["ndcg@20"], "auc": base["auc"]}
    first, second = compare(better, [base, same], seed=0, rounds=999)
    assert set(second) == {"ndcg@20", "auc"}
    gain = first["ndcg@20"]
    assert (gain.users, gain.larger_is_better, first["log_loss"].larger_is_better) == (150, True, False)
    assert gain.difference.value == pytest.approx(0.05)
    assert gain.value == pytest.approx(base["ndcg@20"][50:].mean())
    expected = paired_interval(better["log_loss"], base["log_loss"], 0)
    found = first["log_loss"].difference
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (gain.p_value, gain.p_holm, second["ndcg@20"].p_holm) == (0.001, 0.002, 0.002)
    # Of the models that have the metric alone.
    assert first["log_loss"].p_holm == first["log_loss"].p_value == 0.001
    assert first["auc"].p_value == first["auc"].p_holm == 1.0
    assert first["auc"].difference.low == first["auc"].difference.high == 0.0
    assert gain.to_json()["difference"] == gain.difference.value


def test_other_users_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="other users"):
        compare({"auc": np.zeros(3)}, [{"auc": np.zeros(4)}], seed=0)
    assert compare({"auc": np.zeros(3)}, [{}], seed=0) == [{}]
