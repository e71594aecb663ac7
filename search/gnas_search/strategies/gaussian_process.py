"""Gaussian process: model the objective with its uncertainty, try where most is to be expected."""

from __future__ import annotations

from optuna.samplers import BaseSampler, GPSampler

STARTUP_TRIALS = 8


def gp_sampler(seed: int) -> BaseSampler:
    """Make a sampler that maximises the expected improvement under a Gaussian process over all genes jointly.

    It costs more per draw than the others, and more with every trial.

    References
    ----------
    Snoek, J., Larochelle, H. and Adams, R. (2012). Practical Bayesian optimization of machine learning algorithms.
    NeurIPS.
    """
    return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
