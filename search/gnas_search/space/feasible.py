"""How much of a space its constraints leave: counted where it is small, else estimated from a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from gnas_search.space.genes import Gene, Value, choices
from gnas_search.space.points import random_point
from gnas_search.specs import BranchSpec

_ENUMERATED = 1 << 14
_SAMPLED = 1000


class Constrained(Protocol):
    """A space of which some models are out."""

    @property
    def families(self) -> Mapping[str, Any]:
        """Family name to its space."""

    @property
    def constraints(self) -> Any:
        """What is out."""

    def read(self, family: str, values: Mapping[str, Value]) -> BranchSpec:
        """Read one point of a family."""

    def why_not(self, spec: BranchSpec) -> str:
        """Say which constraint a model breaks; empty where none."""


@dataclass(frozen=True)
class Count:
    """How many models a family has.

    Attributes
    ----------
    models
        A continuous gene counts once.
    is_exact
        Whether they were counted; otherwise all models were, and a random sample of the points says which share of
        them is left.
    """

    models: int
    is_exact: bool


def feasible_share(space: Constrained, family: str) -> tuple[int, int]:
    """Count which of a seeded sample of random points the constraints leave; all where there are few points."""
    genes = space.families[family].genes
    if space.families[family].is_finite and _num_points(genes) <= _ENUMERATED:
        points = [dict(zip(genes, values, strict=True)) for values in product(*_values(genes))]
    else:
        rng = np.random.default_rng(0)
        points = [random_point(rng, genes) for _ in range(_SAMPLED)]
    return sum(not space.why_not(space.read(family, point)) for point in points), len(points)


def count_feasible(space: Constrained, family: str) -> Count:
    """Count the models of a family that the constraints leave.

    Exact by enumeration where there are at most some sixteen thousand points and no continuous gene; else the share of
    random points that is left, times the size.
    """
    whole = space.families[family]
    if space.constraints.are_none:
        return Count(whole.size(), is_exact=True)
    if whole.is_finite and _num_points(whole.genes) <= _ENUMERATED:
        points = (dict(zip(whole.genes, values, strict=True)) for values in product(*_values(whole.genes)))
        specs = {space.read(family, point) for point in points}
        return Count(sum(not space.why_not(spec) for spec in specs), is_exact=True)
    kept, drawn = feasible_share(space, family)
    return Count(whole.size() * kept // drawn, is_exact=False)


def _values(genes: Mapping[str, Gene]) -> list[tuple[Any, ...]]:
    return [choices(gene, None) for gene in genes.values()]


def _num_points(genes: Mapping[str, Gene]) -> int:
    return math.prod(len(values) for values in _values(genes))
