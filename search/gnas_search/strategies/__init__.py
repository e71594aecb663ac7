"""Strategies: which architecture to try next, given what was tried."""

from __future__ import annotations

from collections.abc import Callable

from optuna.samplers import BaseSampler, RandomSampler

from gnas_search.space import FamilySpace
from gnas_search.strategies.evolution import EvolutionSampler
from gnas_search.strategies.strategy import Strategy
from gnas_search.strategies.tpe import tpe_sampler
from gnas_serve.errors import unknown_name

__all__ = ["STRATEGIES", "Strategy", "make_strategy", "require_strategy"]

STRATEGIES: dict[str, Callable[[int], BaseSampler]] = {
    "evolution": EvolutionSampler,
    "random": RandomSampler,
    "tpe": tpe_sampler,
}


def make_strategy(name: str, family: str, space: FamilySpace, seed: int) -> Strategy:
    """Choose a strategy by name, for one family of models.

    Raises
    ------
    ConfigError
        If there is no such strategy.
    """
    require_strategy(name)
    return Strategy(STRATEGIES[name], family, space, seed)


def require_strategy(name: str) -> None:
    """Make sure that a strategy exists.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
