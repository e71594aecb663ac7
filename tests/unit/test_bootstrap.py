"""Intervals: of resampled means, within the values, as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_search import bootstrap
from gnas_search.bootstrap import interval, paired_interval


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 5))
def test_an_interval_holds_its_mean_and_stays_within_the_values(values: list[float], seed: int) -> None:
    found = interval(np.array(values), seed, rounds=50, confidence=0.999)
    assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12
    assert found.value == pytest.approx(np.mean(values))
    assert found == interval(np.array(values), seed, rounds=50, confidence=0.999)


@pytest.mark.parametrize("kept", [0, 1 << 23])
def test_an_interval_is_of_resampled_means_whether_the_resamples_are_kept_or_not(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_KEPT", kept)
    for n, seed in ((1, 0), (30, 1), (200, 1)):
        values = np.random.default_rng(n).random(n)
        rng = np.random.default_rng(seed)
        means = [values[rng.integers(0, n, n, dtype=np.int32)].mean() for _ in range(100)]
        for _ in range(2):
            found = interval(values, seed, rounds=100)
            assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-7)


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [interval(rng.normal(size=100), seed, confidence=0.9, rounds=200) for seed in range(200)]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.83 <= covered <= 0.96


def test_pairing_sees_a_difference_that_single_intervals_hide() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(300)
    better = base + 0.01 + rng.normal(scale=0.02, size=300)
    assert paired_interval(better, base, 0).low > 0
    assert interval(better, 0).low < interval(base, 0).high
    with pytest.raises(ValueError, match="paired"):
        paired_interval(base, base[:-1], 0)
    with pytest.raises(ValueError, match="at least one"):
        interval(np.empty(0), 0)
