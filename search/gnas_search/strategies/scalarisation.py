"""Scalarisation: several objectives as one, so that a strategy for one serves for several."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point
from gnas_search.strategies.proposer import Proposer

_LINEAR = 0.05
"""Of the weighted sum beside the weighted worst: of two points equally bad at the worst, the better one is better."""

Floats = npt.NDArray[np.float64]


def scalarised(proposer: Proposer) -> Proposer:
    """Let a proposer for one objective search for several, each draw along a direction of its own.

    Parameters
    ----------
    proposer
        Reads one value of each trial.

    References
    ----------
    Knowles, J. (2006). ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective
    optimization problems. IEEE Trans. Evolutionary Computation 10(1).
    """

    def propose(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
        first = next((trial for trial in finished if trial.values), None)
        if first is None or len(first.values) == 1:
            return proposer(finished, genes, seed)
        measured = [trial for trial in finished if trial.values]
        weights = np.random.default_rng([seed, 1]).dirichlet(np.ones(len(measured[0].values)))
        values = iter(as_one(np.array([trial.values for trial in measured]), weights))
        one = [_with_value(trial, float(next(values)) if trial.values else None) for trial in finished]
        return proposer(one, genes, seed)

    return propose


def as_one(values: Floats, weights: Floats) -> Floats:
    """Give the augmented Chebyshev value of each point, the higher the better.

    Parameters
    ----------
    values : (n, m)
        Of n points in m objectives, the higher the better; each is scaled to 0 (worst seen) .. 1 (best seen).
    weights : (m,)
        Of the objectives; at least 0.

    Returns
    -------
    (n,) float64
    """
    low, high = values.min(axis=0), values.max(axis=0)
    missed = (high - values) / np.where(high > low, high - low, 1.0) * weights
    found: Floats = -(missed.max(axis=1) + _LINEAR * missed.sum(axis=1))
    return found


def _with_value(trial: FrozenTrial, value: float | None) -> FrozenTrial:
    one = copy(trial)
    one.values = None if value is None else [value]
    return one
