"""Points: a value for every gene, as numbers in the unit interval or as choices without an order; drawn and moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution

from gnas_search.space.genes import Gene, Value

Genes = Mapping[str, Gene]
Point = dict[str, Value]

_STEP = 0.2
"""Standard deviation of a mutation, in unit intervals."""


def is_ordered(gene: Gene) -> bool:
    """Tell whether the values of a gene are numbers, so that there is a nearer and a further one."""
    if not isinstance(gene, CategoricalDistribution):
        return True
    return all(isinstance(choice, (int, float)) and not isinstance(choice, bool) for choice in gene.choices)


def values_of(gene: Gene, most: int | None = None) -> list[Any]:
    """List the values of a discrete gene, numbers in ascending order; of a continuous one ``most`` of them, evenly.

    Parameters
    ----------
    gene
        Continuous only where ``most`` is given.
    most
        How many values of a continuous gene; a discrete one has all of its own.
    """
    if isinstance(gene, CategoricalDistribution):
        return sorted(gene.choices) if is_ordered(gene) else list(gene.choices)
    if not isinstance(gene, FloatDistribution):
        return list(range(gene.low, gene.high + 1))
    if most is None:
        raise TypeError("a continuous gene has no list of values")
    return [from_unit(gene, (place + 0.5) / most) for place in range(most)]


def first_value(gene: Gene) -> Value:
    """Give the first choice or the lowest number of a gene: of a single one all that there is."""
    return cast(Value, gene.choices[0] if isinstance(gene, CategoricalDistribution) else gene.low)


def to_unit(gene: Gene, value: Any) -> float:
    """Place a value of an ordered gene in 0..1; choices and whole numbers evenly, numbers on the gene's own scale."""
    if isinstance(gene, CategoricalDistribution):
        values = values_of(gene)
        return values.index(value) / max(1, len(values) - 1)
    scale = math.log if gene.log else float
    low, high = scale(gene.low), scale(gene.high)
    return (scale(value) - low) / (high - low) if high > low else 0.0


def from_unit(gene: Gene, unit: float) -> Any:
    """Give the value of an ordered gene at a place in 0..1, the nearest where it is discrete."""
    if isinstance(gene, CategoricalDistribution):
        values = values_of(gene)
        return values[round(unit * (len(values) - 1))]
    scale, back = (math.log, math.exp) if gene.log else (float, float)
    low, high = scale(gene.low), scale(gene.high)
    moved = back(low + unit * (high - low))
    inside = min(max(moved, gene.low), gene.high)  # the round trip through the logarithm may leave the ends
    return inside if isinstance(gene, FloatDistribution) else round(inside)


def reflected(unit: float) -> float:
    """Bring a place back into 0..1 by reflection at both ends, so that the edges are no traps."""
    unit = abs(unit) % 2.0
    return min(unit, 2.0 - unit)


def random_value(rng: np.random.Generator, gene: Gene) -> Any:
    """Draw a value of a gene: every choice alike, numbers evenly on the gene's own scale."""
    if isinstance(gene, FloatDistribution):
        return from_unit(gene, rng.random())
    values = values_of(gene)
    return values[rng.integers(len(values))]


def random_point(rng: np.random.Generator, genes: Genes) -> Point:
    """Draw every gene by itself."""
    return {name: random_value(rng, gene) for name, gene in genes.items()}


def mutated(rng: np.random.Generator, gene: Gene, value: Any) -> Any:
    """Change a value: another choice, or a number some way off; a discrete gene always changes."""
    if isinstance(gene, CategoricalDistribution):
        others = [choice for choice in gene.choices if choice != value]
        return others[rng.integers(len(others))]
    moved = from_unit(gene, reflected(to_unit(gene, value) + rng.normal(0.0, _STEP)))
    if isinstance(gene, FloatDistribution) or moved != value:
        return moved
    near = [other for other in (value - 1, value + 1) if gene.low <= other <= gene.high]
    return near[rng.integers(len(near))]
