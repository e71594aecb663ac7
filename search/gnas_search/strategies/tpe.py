"""Tree-structured Parzen estimator: model good and other points by densities, try where their ratio is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, first_value
from gnas_search.strategies.codes import Axes
from gnas_search.strategies.parzen import ParzenEstimator
from gnas_search.strategies.proposer import alike, distinct, sampled

STARTUP_TRIALS = 8
_CANDIDATES = 24
_GOOD_SHARE, _MOST_GOOD = 0.1, 25


def tpe(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw some points where the best trials are dense; give the one with the best ratio to the density of the others.

    It proposes what :func:`tpe_sampler` does in a fifth of the time: of trials of a third of a second that took two
    hundredths. Genes that not all trials have alike are left to that.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization. NeurIPS 2011.
    Falkner, Klein, Hutter: BOHB. ICML 2018 (the joint density).
    """
    trials = distinct(finished)
    free = {name: gene for name, gene in sorted(genes.items()) if not gene.single()}
    complete = [trial for trial in trials if trial.values]
    if len(complete) < STARTUP_TRIALS or not free:
        return _at_random(genes, seed)
    if len(alike(trials, free)) < len(free):
        return sampled(tpe_sampler)(finished, genes, seed)
    axes, good, others = densities(complete, free)
    candidates = good.sample(np.random.RandomState(seed), _CANDIDATES)
    best = int(np.argmax(good.log_pdf(candidates) - others.log_pdf(candidates)))
    chosen = axes.decode(candidates, best)
    return {name: chosen[name] if name in chosen else first_value(gene) for name, gene in genes.items()}


def _at_random(genes: Genes, seed: int) -> Point:
    """Draw as :func:`tpe_sampler` does before it has trials enough, without a study to be made for it."""
    sampler, nothing = RandomSampler(seed=seed), cast(Any, None)
    return {
        name: first_value(gene) if gene.single() else sampler.sample_independent(nothing, nothing, name, gene)
        for name, gene in genes.items()
    }


def densities(complete: Sequence[FrozenTrial], genes: Genes) -> tuple[Axes, ParzenEstimator, ParzenEstimator]:
    """Model the best of some trials and the others: a tenth is good, and never more than 25.

    Parameters
    ----------
    complete
        In the order drawn, their values the better the higher; all have all genes.
    genes
        None with a single value.
    """
    axes = Axes(genes)
    codes = axes.encode(complete)
    order = np.argsort([-trial.values[0] for trial in complete], kind="stable")
    count = min(math.ceil(_GOOD_SHARE * len(complete)), _MOST_GOOD)
    good, others = (ParzenEstimator(axes, codes.of(np.sort(part))) for part in (order[:count], order[count:]))
    return axes, good, others


def tpe_sampler(seed: int) -> BaseSampler:
    """Make Optuna's TPE sampler over all genes jointly.

    The first trials are random, fewer than Optuna's default of 10: a study here often has 20 trials in all.
    """
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)
