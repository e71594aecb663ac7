"""Regularised evolution: mutate the best of a few recent trials; old ones age out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, mutated, random_point
from gnas_search.strategies.proposer import recent

POPULATION = 12
TOURNAMENT = 4


def evolution(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Copy the best of :data:`TOURNAMENT` random members of the population, with one gene changed.

    The population is the last :data:`POPULATION` complete trials; until it is full, points are random.

    References
    ----------
    Real, E., Aggarwal, A., Huang, Y. and Le, Q. (2019). Regularized evolution for image classifier architecture
    search. AAAI.
    """
    # Differs from Real et al.: a numeric gene takes a Gaussian step instead of a new random value.
    # Differs from Real et al.: nobody enters a tournament twice.
    # Differs from Real et al.: population 12, tournament 4 (theirs 100 and 25), for studies of 20 to 100 trials.
    rng = np.random.default_rng(seed)
    population = recent(finished, POPULATION)
    free = [name for name, gene in genes.items() if not gene.single()]
    if len(population) < POPULATION or not free:
        return random_point(rng, genes)
    entrants = sorted(rng.choice(len(population), size=TOURNAMENT, replace=False))
    # Ties go to the younger one: a neutral mutation drifts on instead of being lost.
    parent = max(entrants, key=lambda entrant: (population[entrant].value, entrant))
    child = dict(population[parent].point)
    name = free[rng.integers(len(free))]
    child[name] = mutated(rng, genes[name], child[name])
    return child
