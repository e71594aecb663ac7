"""What lists show of the catalogue: by hand, and against an independent library."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnas_search.exposure import exposure, gini

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the library scripts some classes at import
    from torch_geometric.metrics import LinkPredCoverage, LinkPredDiversity

COUNTS = np.array([8, 4, 2, 1, 0])


def test_by_hand() -> None:
    features = np.array([[1, 0], [2, 0], [0, 3], [0, 0], [1, 1]], dtype=np.float32)
    found = exposure([np.array([0, 1, 4]), np.array([2, 0]), np.array([1])], COUNTS, 8, features, 2)
    # Listed are 0, 1 | 2, 0 | 1: two places, two, one.
    assert found["coverage@2"] == pytest.approx(3 / 5)
    assert found["novelty@2"] == pytest.approx((0 + 1 + 2 + 0 + 1) / 5)
    # Pairs of places that differ: of 2, 2, 1, 0, 0, over twice the mean times n squared.
    assert found["gini@2"] == pytest.approx((2 * (1 + 2 + 2 + 1 + 2 + 2 + 1 + 1)) / (2 * 5**2 * 1.0))
    # The cosine of 0 and 1 is 1, of 2 and 0 it is 0; a single item has no pair.
    assert found["diversity@2"] == pytest.approx((0 + 1) / 2)


def test_items_without_interactions_or_attributes() -> None:
    features = np.array([[0.0], [1.0], [0.0], [0.0], [0.0]], dtype=np.float32)
    found = exposure([np.array([4, 3])], COUNTS, 8, features, 20)
    assert found["novelty@20"] == 3  # as if there were one interaction
    assert found["diversity@20"] == 1


def test_nothing_listed_is_nothing_measured() -> None:
    assert exposure([np.array([-1]), np.empty(0, np.int64)], COUNTS, 8, None, 5) == {}
    assert "diversity@5" not in exposure([np.array([1, 2])], COUNTS, 8, None, 5)


@given(st.lists(st.permutations(range(10)), min_size=1, max_size=6), st.integers(2, 10))
def test_coverage_and_diversity_are_those_of_an_independent_library(lists: list[list[int]], k: int) -> None:
    category = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 3, 3])
    features = np.eye(4, dtype=np.float32)[category.numpy()]
    found = exposure([np.array(one) for one in lists], np.ones(10, np.int64), 5, features, k)
    pairs = torch.zeros((2, 1), dtype=torch.long)
    for name, theirs in (("coverage", LinkPredCoverage(k, 10)), ("diversity", LinkPredDiversity(k, category))):
        theirs.update(torch.tensor(lists), pairs)
        assert found[f"{name}@{k}"] == pytest.approx(float(theirs.compute()), abs=1e-6)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_gini_is_the_mean_difference_over_twice_the_mean(amounts: list[int]) -> None:
    values = np.array(amounts)
    differences = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(values) == pytest.approx(differences / (2 * values.mean()), abs=1e-12)
