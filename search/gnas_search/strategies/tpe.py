"""Tree-structured Parzen estimator: model good and other points by densities, try where their ratio is best."""

from __future__ import annotations

from optuna.samplers import BaseSampler, TPESampler

STARTUP_TRIALS = 8


def tpe_sampler(seed: int) -> BaseSampler:
    """Make a TPE sampler over all genes jointly.

    The first trials are random, fewer than Optuna's default of 10: a study here often has 20 trials in all.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization. NeurIPS 2011.
    Falkner, Klein, Hutter: BOHB. ICML 2018 (the joint density).
    """
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)
