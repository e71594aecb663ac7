"""Tree-structured Parzen estimator: model good and other points by densities, try where their ratio is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, first_value
from gnas_search.strategies.history import History
from gnas_search.strategies.parzen import ParzenEstimator

STARTUP_TRIALS = 8
_CANDIDATES = 24
_GOOD_SHARE, _MOST_GOOD, _MOST_OTHERS = 0.1, 25, 200


def tpe(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw some points where the best trials are dense; give the one with the best ratio to the density of the others.

    It proposes what Optuna's ``TPESampler(multivariate=True)`` does, in a fifth of the time or less: of trials of a
    third of a second, that took two hundredths. Of the points that are not good it models the latest 200. The first
    trials are random, fewer than Optuna's default of 10: a study here often has 20 trials in all.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization. NeurIPS 2011.
    Falkner, Klein, Hutter: BOHB. ICML 2018 (the joint density).
    """
    free = {name: gene for name, gene in sorted(genes.items()) if not gene.single()}
    known = History.of(finished, free) if free else None
    if known is None or len(known.values) < STARTUP_TRIALS:
        return _at_random(genes, seed)
    good, others = densities(known)
    candidates = good.sample(np.random.RandomState(seed), _CANDIDATES)
    best = int(np.argmax(good.log_pdf(candidates) - others.log_pdf(candidates)))
    chosen = known.axes.decode(candidates, best)
    return {name: chosen[name] if name in chosen else first_value(gene) for name, gene in genes.items()}


def _at_random(genes: Genes, seed: int) -> Point:
    """Draw as Optuna's sampler does before it has trials enough, without a study to be made for it."""
    sampler, nothing = RandomSampler(seed=seed), cast(Any, None)
    return {
        name: first_value(gene) if gene.single() else sampler.sample_independent(nothing, nothing, name, gene)
        for name, gene in genes.items()
    }


def densities(known: History) -> tuple[ParzenEstimator, ParzenEstimator]:
    """Model the best points and the others: a tenth is good, and never more than 25; of the others the latest 200.

    The older a point the less it weighs, and to model all of them would take ever longer.
    """
    order = np.argsort(-known.values, kind="stable")
    count = min(math.ceil(_GOOD_SHARE * len(order)), _MOST_GOOD)
    good, others = (known.codes.of(np.sort(part)[-_MOST_OTHERS:]) for part in (order[:count], order[count:]))
    return ParzenEstimator(known.axes, good), ParzenEstimator(known.axes, others)
