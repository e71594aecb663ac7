"""Proposer: the rule by which a strategy chooses, a function of what was tried and of a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point
from gnas_search.strategies.tally import REJECTED

Proposer = Callable[[Sequence[FrozenTrial], Genes, int], Point]
"""Chooses the next point: ``proposer(finished, genes, seed)``.

``finished`` are the complete and the failed trials of one family, in the order drawn, their values the better the
higher; ``genes`` has one distribution per gene, the one that all of these trials have, and the point a value for each.
Whatever a proposer knows it reads from these trials: nothing is kept between two calls but what follows from them, so
that a study goes on after a crash, or with another strategy, without anything to restore.
"""


@dataclass(frozen=True)
class ValuedPoint:
    """A point and what it was worth.

    Attributes
    ----------
    point
        A value for each gene; not to be changed.
    value
        The objective; the higher the better.
    """

    point: Point
    value: float


def tried(finished: Sequence[FrozenTrial]) -> list[ValuedPoint]:
    """Give the complete trials, in the order drawn; those that failed say nothing of their points."""
    return [ValuedPoint(one.params, one.values[0]) for one in finished if one.values]  # of hundreds, at every draw


def members(finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Give the trials that can be members of a population, in the order drawn.

    A point that was rejected was never one: in a tight space half of them would push out those that were.
    """
    return [trial for trial in finished if REJECTED not in trial.user_attrs]


def recent(finished: Sequence[FrozenTrial], count: int) -> list[ValuedPoint]:
    """Give the latest complete trials that can be members of a population, in the order drawn; at most so many."""
    found = (one for one in reversed(finished) if one.values and REJECTED not in one.user_attrs)
    return tried(list(islice(found, count))[::-1])


def told(trial: FrozenTrial) -> tuple[object, ...]:
    """Give what a trial tells: its point, and what that was worth."""
    return (*trial.params.values(), *(trial.values or ()))


def distinct(finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Leave out repetitions: a point that was drawn again and is worth the same tells nothing new."""
    return list({told(trial): trial for trial in finished}.values())
