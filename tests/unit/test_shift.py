"""PopularityShift: 1 for interactions held out at random, more where some items are held out more often."""

from __future__ import annotations

import numpy as np
import pytest

from gnas_search.shift import PopularityShift, dispersion


def counts(num_items: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).geometric(0.02, num_items)


def test_a_random_hold_out_disperses_about_once() -> None:
    whole = counts()
    held_out = np.random.default_rng(1).binomial(whole, 0.1)
    assert dispersion(held_out, whole - held_out) == pytest.approx(1.0, abs=0.08)


def test_a_hold_out_that_prefers_some_items_disperses_more() -> None:
    whole = counts()
    chance = np.where(np.arange(len(whole)) % 2 == 0, 0.05, 0.2)
    held_out = np.random.default_rng(1).binomial(whole, chance)
    found = dispersion(held_out, whole - held_out)
    # Overdispersion of a mixture of two chances: 1 + (mean count - 1) * variance / (p (1 - p)), here about 3.8.
    assert found > 3.0
    assert PopularityShift(1.0, found).is_large
    assert f"{found:.2f}" in PopularityShift(1.0, found).message()


def test_the_size_is_the_ratio_and_works_both_ways() -> None:
    assert PopularityShift(2.0, 1.0).is_large
    assert PopularityShift(1.0, 1.1).to_json() == {"validation": 1.0, "test": 1.1, "ratio": 1.1}
    assert not PopularityShift(1.0, 1.1).is_large


def test_nothing_held_out_is_no_shift() -> None:
    empty = np.zeros(5, dtype=np.int64)
    assert dispersion(empty, np.ones(5, dtype=np.int64)) == 1.0
    assert dispersion(empty, empty) == 1.0
