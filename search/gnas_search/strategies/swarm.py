"""Particle swarm: points fly on, drawn to the best place of their own and to the best of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial

from gnas_search.space import Gene
from gnas_search.space.points import (
    Genes,
    Point,
    from_unit,
    is_ordered,
    random_point,
    reflected,
    to_unit,
    values_of,
)
from gnas_search.strategies.proposer import members

PARTICLES = 10
_INERTIA = 0.7298
_PULL = 1.4962
"""Clerc and Kennedy's constriction: the swarm neither explodes nor stops before it has gathered."""
_LEAST = 0.03
"""Least chance of a choice beside that of the others: what no particle has is not lost for good."""

Floats = npt.NDArray[np.float64]


def particle_swarm(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Move the particle whose turn it is.

    The i-th trial that was not rejected is a step of particle ``i % PARTICLES``; the first step of each is random.
    Ordered genes are places in 0..1. The others are one coordinate per choice, and where they lead to is the chance of
    each, as the bits of a binary swarm. A particle's velocity is the difference of its last two places, so that trials
    are all there is to remember.

    References
    ----------
    Kennedy, J. and Eberhart, R. (1997). A discrete binary version of the particle swarm algorithm. SMC.
    Clerc, M. and Kennedy, J. (2002). The particle swarm: explosion, stability, and convergence in a multidimensional
    complex space. IEEE Trans. Evolutionary Computation 6(1).
    """
    # Differs from Kennedy and Eberhart: with several slots a trial under way makes all later ones steps of the next
    # particle until it ends, so that the flight of a particle may go on from another's place.
    rng = np.random.default_rng(seed)
    finished = members(finished)  # a particle tries another step in the place of one that was rejected
    own = finished[len(finished) % PARTICLES :: PARTICLES] if len(finished) >= PARTICLES else []
    if not own or all(trial.value is None for trial in finished):
        return random_point(rng, genes)
    now, before = own[-1].params, own[max(0, len(own) - 2)].params
    best_own, best_of_all = _best(own) or now, _best(finished) or now
    point: dict[str, Any] = {}
    for name, gene in genes.items():
        here, past, mine, ours = (_places(gene, params[name]) for params in (now, before, best_own, best_of_all))
        pulls = _PULL * rng.random(len(here)) * (mine - here) + _PULL * rng.random(len(here)) * (ours - here)
        there = here + _INERTIA * (here - past) + pulls
        if is_ordered(gene):
            point[name] = from_unit(gene, reflected(float(there[0])))
        else:
            chances = np.clip(there, _LEAST, 1.0)
            point[name] = values_of(gene)[rng.choice(len(chances), p=chances / chances.sum())]
    return point


def _best(trials: Sequence[FrozenTrial]) -> Point | None:
    best = max(trials, key=lambda trial: -math.inf if trial.value is None else trial.value)
    return None if best.value is None else best.params


def _places(gene: Gene, value: Any) -> Floats:
    """Give the coordinates of a value: one in 0..1, or one per choice."""
    if is_ordered(gene):
        return np.array([to_unit(gene, value)])
    return np.array([choice == value for choice in values_of(gene)], dtype=np.float64)
