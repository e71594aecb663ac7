"""Grid: every combination of a few values per gene, in random order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, values_of

LEVELS = 4
"""Values of a continuous gene."""
_LISTED = 1 << 14
"""Largest grid whose untried points are listed; of a larger one, points are drawn until one is new."""
_DRAWS = 100


def grid(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw one of the combinations that were not tried; any of them where all were.

    In nested loops, a search that ends early would have tried one value of most genes.
    """
    rng = np.random.default_rng(seed)
    values = {name: values_of(gene, LEVELS) for name, gene in genes.items()}
    size = math.prod(len(some) for some in values.values())
    before = {tuple(trial.params[name] for name in genes) for trial in finished}
    if size <= _LISTED:
        every = [_at(values, number) for number in range(size)]
        untried = [point for point in every if tuple(point.values()) not in before] or every
        return untried[rng.integers(len(untried))]
    point: Point = {}
    for _ in range(_DRAWS):
        point = {name: some[rng.integers(len(some))] for name, some in values.items()}
        if tuple(point.values()) not in before:
            break
    return point


def _at(values: dict[str, list[Any]], number: int) -> Point:
    point = {}
    for name, some in values.items():
        number, place = divmod(number, len(some))
        point[name] = some[place]
    return point
