"""Regularised evolution: mutate the best of a few recent trials; old ones age out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

POPULATION = 12
TOURNAMENT = 4
_STEP = 0.2


class EvolutionSampler(BaseSampler):
    """Regularised (aging) evolution over the fixed vector of genes.

    The population is the last :data:`POPULATION` completed trials of the study, so there is nothing to store or to
    restore. Until it is full, trials are random. Then the best of :data:`TOURNAMENT` random members is copied and
    one gene of the copy is changed.

    Parameters
    ----------
    seed
        Of the tournament, the mutation and the random trials.

    References
    ----------
    Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019.
    """

    # Differs from Real et al.: a numeric gene takes a Gaussian step instead of a new random value.
    # Differs from Real et al.: population 12, tournament 4 (theirs 100 and 25), for studies of 20 to 100 trials.

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002  # Optuna's signature
    ) -> dict[str, BaseDistribution]:
        """Give every gene once the population is full, none before."""
        if len(_population(study)) < POPULATION:
            return {}
        return IntersectionSearchSpace().calculate(study)

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002  # Optuna's signature
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Mutate one gene of a tournament's winner."""
        free = [name for name, gene in search_space.items() if not gene.single()]
        if not free:
            return {}
        population = _population(study)
        entrants = self._rng.choice(len(population), size=TOURNAMENT, replace=False)
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        # Ties go to the younger trial: a neutral mutation drifts on instead of being lost.
        parent = max((population[entrant] for entrant in sorted(entrants)), key=lambda t: (sign * _value(t), t.number))
        child = {name: parent.params[name] for name in search_space}
        mutated = free[self._rng.integers(len(free))]
        child[mutated] = _mutate(self._rng, search_space[mutated], child[mutated])
        return child

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one gene at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _population(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))[-POPULATION:]


def _value(trial: FrozenTrial) -> float:
    return -math.inf if trial.value is None else trial.value


def _mutate(rng: np.random.Generator, gene: BaseDistribution, value: Any) -> Any:
    if isinstance(gene, CategoricalDistribution):
        others = [choice for choice in gene.choices if choice != value]
        return others[rng.integers(len(others))]
    if not isinstance(gene, (IntDistribution, FloatDistribution)):
        raise TypeError(f"no mutation for {type(gene).__name__}")
    to, back = (math.log, math.exp) if gene.log else (float, float)
    low, high = to(gene.low), to(gene.high)
    unit = (to(value) - low) / (high - low) + rng.normal(0.0, _STEP)
    unit = abs(unit) % 2.0  # reflected at both ends, so that the edges are no traps
    moved = back(low + min(unit, 2.0 - unit) * (high - low))
    if isinstance(gene, FloatDistribution):
        return min(max(moved, gene.low), gene.high)
    whole = min(max(round(moved), gene.low), gene.high)
    if whole != value:
        return whole
    neighbours = [near for near in (value - 1, value + 1) if gene.low <= near <= gene.high]
    return neighbours[rng.integers(len(neighbours))]
