"""NSGA-II: a genetic algorithm for several objectives, which keeps what no other point beats in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial

from gnas_search.dominance import dominates
from gnas_search.space.points import Genes, Point, random_point
from gnas_search.strategies.genetic import child_of
from gnas_search.strategies.proposer import distinct, members

POPULATION = 16

Floats = npt.NDArray[np.float64]


def nsga2(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Cross two parents, each the better of two members by front and then by crowding, and mutate the child.

    The population is the :data:`POPULATION` best different points so far, fronts first and, within the last of them,
    where it is least crowded; until there are as many, points are random. With one objective the fronts are its ranks.

    References
    ----------
    Deb, K. et al. (2002). A fast and elitist multiobjective genetic algorithm: NSGA-II. IEEE Trans. Evolutionary
    Computation 6(2).
    """
    # Differs from Deb et al.: steady state, one child after the other, so that it goes on from any trials.
    rng = np.random.default_rng(seed)
    trials = distinct([trial for trial in members(finished) if trial.values])
    best: dict[tuple[Any, ...], Point] = {}
    for place in ranked(np.array([trial.values for trial in trials], dtype=np.float64)) if trials else ():
        # A point that is worth several things, as where the rest of a network differs, counts by its best.
        best.setdefault(tuple(trials[place].params.values()), dict(trials[place].params))
        if len(best) == POPULATION:
            break
    if len(best) < POPULATION or all(gene.single() for gene in genes.values()):
        return random_point(rng, genes)
    return child_of(rng, list(best.values())[::-1], genes, finished)


def ranked(values: Floats) -> Iterator[int]:
    """Order points from best to worst: by front, and within one from the least to the most crowded.

    Parameters
    ----------
    values : (n, m)
        Of each point in each objective; the higher the better.
    """
    for front in fronts(values):
        crowding = crowding_distances(values[front])
        yield from (front[place] for place in np.lexsort((np.array(front), -crowding)))


def fronts(values: Floats) -> Iterator[list[int]]:
    """Sort points into fronts: none in the first is dominated, none in the second but by the first, and so on.

    Parameters
    ----------
    values : (n, m)
        As for :func:`ranked`.
    """
    dominating = dominates(values[:, None], values[None])  # (n, n)
    dominators = dominating.sum(axis=0)  # (n,), those of earlier fronts left out
    left = np.ones(len(values), dtype=np.bool_)
    while left.any():
        front = np.flatnonzero(left & (dominators == 0))
        yield front.tolist()
        left[front] = False
        dominators -= dominating[front].sum(axis=0)


def crowding_distances(values: Floats) -> Floats:
    """Say how far apart the neighbours of each point of a front are, added up over objectives; infinite at its ends.

    Parameters
    ----------
    values : (n, m)
        Of the points of one front.
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        width = sorted_[-1] - sorted_[0]
        distances[order[[0, -1]]] = np.inf
        if width > 0:
            distances[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / width
    return distances
