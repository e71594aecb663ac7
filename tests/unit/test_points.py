"""Genes as numbers: every value has its place, every place a value inside the gene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gnas_search.space import Gene
from gnas_search.space.points import (
    from_unit,
    is_ordered,
    mutated,
    random_value,
    reflected,
    to_unit,
    values_of,
)

FLOATS = st.tuples(st.floats(1e-6, 1.0), st.floats(1.5, 1e6), st.booleans()).map(
    lambda one: FloatDistribution(one[0], one[1], log=one[2])
)
INTEGERS = st.tuples(st.integers(1, 50), st.integers(1, 50), st.booleans()).map(
    lambda one: IntDistribution(one[0], one[0] + one[1], log=one[2])
)
NUMBERS = st.lists(st.integers(-9, 99) | st.floats(0.01, 0.99), min_size=2, unique=True).map(CategoricalDistribution)
WORDS = st.sampled_from([["a", "b"], [False, True], ["x", "y", "z"]]).map(CategoricalDistribution)


@given(FLOATS | INTEGERS | NUMBERS, st.floats(0.0, 1.0))
def test_every_place_has_a_value_inside_and_near(gene: Gene, unit: float) -> None:
    value = from_unit(gene, unit)
    assert gene._contains(gene.to_internal_repr(value))
    back = to_unit(gene, value)
    assert 0.0 <= back <= 1.0
    if isinstance(gene, FloatDistribution):
        assert back == pytest.approx(unit, abs=1e-6)


@given(INTEGERS | NUMBERS)
def test_discrete_values_keep_their_order_and_come_back(gene: Gene) -> None:
    values = values_of(gene)
    assert values == sorted(values)
    assert [from_unit(gene, to_unit(gene, value)) for value in values] == values


@given(FLOATS | INTEGERS | NUMBERS | WORDS, st.integers(0, 1000))
def test_what_is_drawn_or_mutated_lies_inside_and_a_discrete_gene_changes(gene: Gene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = random_value(rng, gene)
    changed = mutated(rng, gene, value)
    for one in (value, changed):
        assert gene._contains(gene.to_internal_repr(one))
    if not isinstance(gene, FloatDistribution):
        assert changed != value


@given(st.floats(-50, 50))
def test_reflection_ends_inside(unit: float) -> None:
    assert 0.0 <= reflected(unit) <= 1.0
    if 0.0 <= unit <= 1.0:
        assert reflected(unit) == unit


def test_truth_values_have_no_order() -> None:
    assert not is_ordered(CategoricalDistribution([False, True]))
    assert is_ordered(CategoricalDistribution([64, 32]))
    assert values_of(CategoricalDistribution([64, 32])) == [32, 64]
    assert values_of(FloatDistribution(1e-4, 1.0, log=True), 2) == pytest.approx([1e-3, 1e-1])
