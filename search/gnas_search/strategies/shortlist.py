"""Shortlist: points that something judged before the trials, and the strategy that proposes them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, mutated
from gnas_search.strategies.evolution import POPULATION, evolution
from gnas_search.strategies.proposer import Proposer, recent
from gnas_search.strategies.strategy import Strategy
from gnas_search.strategies.tally import REJECTED, Tally, attributes_of

LISTED = POPULATION
"""Points that are kept: they make the population that evolution goes on with."""
_PREFIX = "shortlist."


@dataclass(frozen=True)
class Listed:
    """A point and what made it one of the list, the higher the better."""

    point: Point
    worth: float


@dataclass(frozen=True)
class Shortlist:
    """What a study knows of its networks before it trains any.

    Attributes
    ----------
    listed
        Best first; empty where there is a reason.
    reason
        Why there is none; empty where there is.
    epochs, ranked, seconds
        How long the supernet behind it was trained, how many networks it ranked, and what both took.
    is_final
        Whether another supernet would find no more.
    for_trials
        Where there was no trial left for it to be tried: of so many of the study. For as many it is not looked at anew:
        a study that goes on after an interruption would find some left, of draws that were repeated.
    """

    listed: tuple[Listed, ...] = ()
    reason: str = ""
    epochs: int = 0
    ranked: int = 0
    seconds: float = 0.0
    is_final: bool = False
    for_trials: int | None = None

    def write(self, study: optuna.Study, strategy: str) -> None:
        """Keep it as an attribute of an Optuna study."""
        study.set_user_attr(_PREFIX + strategy, asdict(self))

    @classmethod
    def read(cls, attributes: Mapping[str, Any], strategy: str) -> Shortlist | None:
        """Read the one of a strategy from the attributes of an Optuna study; None where none was made yet."""
        raw = attributes.get(_PREFIX + strategy)
        if raw is None:
            return None
        listed = tuple(Listed(dict(one["point"]), float(one["worth"])) for one in raw["listed"])
        return cls(**{**raw, "listed": listed})

    @classmethod
    def all_of(cls, attributes: Mapping[str, Any]) -> dict[str, Shortlist]:
        """Read those of all strategies, by their names."""
        names = (name.removeprefix(_PREFIX) for name in attributes if name.startswith(_PREFIX))
        return {name: found for name in names if (found := cls.read(attributes, name)) is not None}


@dataclass(frozen=True)
class ShortlistStrategy(Strategy):
    """Proposes the points of a study's shortlist, best first, and then goes on as its proposer does.

    Attributes
    ----------
    name
        Whose shortlist it is.
    unlisted
        Chooses where the study has none.
    """

    name: str
    unlisted: Proposer

    def propose(
        self, study: optuna.Study, attempt: int = 0, *, base: Point | None = None, free: Sequence[str] = ()
    ) -> Point:
        """Choose the next point: of the list that which was not asked yet; ``attempt`` counts on from there."""
        shortlist = Shortlist.read(attributes_of(study), self.name)
        if shortlist is None or not shortlist.listed:
            without = Strategy(self.unlisted, self.family, self.space, self.seed)
            return without.propose(study, attempt, base=base, free=free)
        if base is not None:
            return super().propose(study, attempt, base=base, free=free)
        trials = Tally.of(study).all(self.family)
        # One that waits, or that was killed while an earlier version drew it, has its point among what was queued.
        asked = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
        left = [one.point for one in shortlist.listed if one.point not in asked]
        # The first point of a draw is written down once it is rejected, and is in the list no more.
        latest = max(trials, key=lambda trial: trial.number, default=None)
        place = attempt - bool(attempt and latest is not None and REJECTED in latest.user_attrs)
        return left[place] if place < len(left) else super().propose(study, attempt)


def mutation(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Evolve; as long as the population is not full, change one gene of the best trial that there is.

    It changes any gene: also those that a supernet leaves at one setting.
    """
    known = recent(finished, POPULATION)
    free = [name for name, gene in genes.items() if not gene.single()]
    if len(known) >= POPULATION or not known or not free:
        return evolution(finished, genes, seed)
    rng = np.random.default_rng(seed)
    child = dict(max(known, key=lambda one: one.value).point)
    name = free[rng.integers(len(free))]
    child[name] = mutated(rng, genes[name], child[name])
    return child
