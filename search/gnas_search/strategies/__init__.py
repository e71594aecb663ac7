"""Strategies: which model to try next, given what was tried."""

from __future__ import annotations

from gnas_search.space import FamilySpace
from gnas_search.specs import GNN
from gnas_search.strategies.cma_es import cma_es
from gnas_search.strategies.evolution import evolution
from gnas_search.strategies.gaussian_process import compile_look
from gnas_search.strategies.genetic import genetic
from gnas_search.strategies.gp import gp
from gnas_search.strategies.grid import grid
from gnas_search.strategies.nsga2 import nsga2
from gnas_search.strategies.proposer import Proposer
from gnas_search.strategies.random_search import random_search
from gnas_search.strategies.reinforce import reinforce
from gnas_search.strategies.scalarisation import scalarised
from gnas_search.strategies.shortlist import ShortlistStrategy, mutation
from gnas_search.strategies.strategy import Strategy
from gnas_search.strategies.swarm import particle_swarm
from gnas_search.strategies.tpe import tpe
from gnas_serve.errors import unknown_name

__all__ = [
    "DEFAULT_STRATEGY",
    "NO_BETTER_THAN_RANDOM",
    "SHARING_STRATEGIES",
    "STRATEGIES",
    "Strategy",
    "make_strategy",
    "require_strategy",
]

STRATEGIES: dict[str, Proposer] = {
    "cma-es": scalarised(cma_es),
    "darts": scalarised(mutation),
    "evolution": scalarised(evolution),
    "genetic": scalarised(genetic),
    "gp": scalarised(gp),
    "grid": grid,
    "nsga-ii": nsga2,
    "one-shot": scalarised(mutation),
    "particle-swarm": scalarised(particle_swarm),
    "random": random_search,
    "reinforce": scalarised(reinforce),
    "tpe": scalarised(tpe),
}
"""By name; those for one objective search for several along a direction of each draw's own."""

DEFAULT_STRATEGY = "gp"
"""What the figures of ``tests/bench/README.md`` favour, of the table and of searches of eight minutes."""

NO_BETTER_THAN_RANDOM = ("grid", "one-shot")
"""Those that were not, at p < .01, after 40 networks of ``tests/bench/replay.py``: `--help` and the README say so."""

SHARING_STRATEGIES = ("darts", "one-shot")
"""Those that propose what a supernet found, of networks, before they go on by themselves; of other families as TPE."""


def make_strategy(name: str, family: str, space: FamilySpace, seed: int) -> Strategy:
    """Choose a strategy by name, for one family of models.

    Raises
    ------
    ConfigError
        If there is no such strategy.
    """
    require_strategy(name)
    if name in SHARING_STRATEGIES:
        if family == GNN:
            return ShortlistStrategy(STRATEGIES[name], family, space, seed, name, STRATEGIES["evolution"])
        name = "tpe"
    if name == "gp":
        compile_look()
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
