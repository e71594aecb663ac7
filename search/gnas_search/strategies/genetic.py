"""Genetic algorithm: cross two good points and mutate the child; the best stay for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, mutated, random_point
from gnas_search.strategies.proposer import ValuedPoint, members, tried

POPULATION = 12
_CROSSOVER = 0.9


def genetic(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Cross two parents gene by gene, each the better of two members, and mutate one gene in as many as there are.

    The population is the :data:`POPULATION` best different points so far (steady state: a child that is better than
    the worst takes its place); until there are as many, points are random. A child that was tried already is mutated
    once more.

    References
    ----------
    Whitley, D. (1989). The GENITOR algorithm and selection pressure. ICGA.
    Syswerda, G. (1989). Uniform crossover in genetic algorithms. ICGA.
    """
    rng = np.random.default_rng(seed)
    best: dict[tuple[Any, ...], ValuedPoint] = {}
    for one in sorted(tried(members(finished)), key=lambda one: -one.value):  # stable: of equal ones the earlier
        best.setdefault(tuple(one.point.values()), one)
    population = list(best.values())[:POPULATION][::-1]  # ascending
    if len(population) < POPULATION or all(gene.single() for gene in genes.values()):
        return random_point(rng, genes)
    return child_of(rng, [one.point for one in population], genes, finished)


def child_of(
    rng: np.random.Generator, population: Sequence[Point], genes: Genes, finished: Sequence[FrozenTrial]
) -> Point:
    """Cross two members of a population and mutate their child.

    Parameters
    ----------
    rng
        Draws whatever is drawn.
    population
        At least three points, the better the later.
    genes
        Of the points; one of them at least has several values.
    finished
        What was tried: a child that was is mutated once more.
    """
    free = [name for name, gene in genes.items() if not gene.single()]
    one, other = _parents(rng, population)
    child = dict(one)
    if rng.random() < _CROSSOVER:
        child = {name: (one if rng.random() < 0.5 else other)[name] for name in genes}
    for name in free:
        if rng.random() < 1.0 / len(free):
            child[name] = mutated(rng, genes[name], child[name])
    if any(child == trial.params for trial in finished):
        name = free[rng.integers(len(free))]
        child[name] = mutated(rng, genes[name], child[name])
    return child


def _parents(rng: np.random.Generator, population: Sequence[Point]) -> tuple[Point, Point]:
    """Choose two different members, each the better of two: places are ranks."""
    first = int(rng.choice(len(population), size=2, replace=False).max())
    rest = [place for place in range(len(population)) if place != first]
    second = rest[int(rng.choice(len(rest), size=2, replace=False).max())]
    return population[first], population[second]
