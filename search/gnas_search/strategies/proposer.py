"""Proposer: the rule by which a strategy chooses, a function of what was tried and of a seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from threadpoolctl import ThreadpoolController

from gnas_search.space.genes import Gene
from gnas_search.space.points import Genes, Point, first_value
from gnas_search.strategies.tally import REJECTED

Proposer = Callable[[Sequence[FrozenTrial], Genes, int], Point]
"""Chooses the next point: ``proposer(finished, genes, seed)``.

``finished`` are the complete and the failed trials of one family, in the order drawn, their values the better the
higher; ``genes`` has one distribution per gene, the one that all of these trials have, and the point a value for each.
Whatever a proposer knows it reads from these trials: nothing is kept between two calls but what was read of them, so
that a study goes on after a crash, or with another strategy, without anything to restore.
"""


@dataclass(frozen=True)
class Tried:
    """A point and what it was worth.

    Attributes
    ----------
    point
        A value for each gene.
    value
        The objective; the higher the better.
    """

    point: Point
    value: float


def tried(finished: Sequence[FrozenTrial]) -> list[Tried]:
    """Give the complete trials, in the order drawn; those that failed say nothing of their points."""
    return [Tried(dict(trial.params), trial.value) for trial in finished if trial.value is not None]


def members(finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Give the trials that can be members of a population, in the order drawn.

    A point that was rejected was never one: in a tight space half of them would push out those that were.
    """
    return [trial for trial in finished if REJECTED not in trial.user_attrs]


def sampled(make: Callable[[int], BaseSampler]) -> Proposer:
    """Make a proposer of an Optuna sampler.

    Parameters
    ----------
    make
        Gives a new sampler from a seed; a sampler that keeps anything beside the trials would forget it.
    """

    def propose(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
        # The sampler sees the trials of its family alone: in a study of several families, what the trials have in
        # common is nothing, and every gene would be drawn by itself.
        view = optuna.create_study(direction="maximize", sampler=make(seed))
        view.add_trials([_Shared.of(trial) for trial in distinct(finished)])
        # Its matrices are of tens of rows: more threads would wait for each other most of the time.
        with _threads().limit(limits=1):
            return _drawn(view, genes)

    return propose


def _drawn(view: optuna.Study, genes: Genes) -> Point:
    """Draw a value for every gene, jointly where the sampler does.

    Optuna's ``ask`` gives the same; its comparison of the genes of all trials takes half of a draw.
    """
    view.ask()
    *before, trial = view.get_trials(deepcopy=False)
    free: dict[str, BaseDistribution] = {name: gene for name, gene in sorted(genes.items()) if not gene.single()}
    together = view.sampler.sample_relative(view, trial, free if before else {})
    point: Point = {}
    for name, gene in genes.items():
        if gene.single():
            point[name] = first_value(gene)
        elif name in together:
            point[name] = together[name]
        else:
            point[name] = view.sampler.sample_independent(view, trial, name, gene)
    return point


def told(trial: FrozenTrial) -> tuple[object, ...]:
    """Give what a trial tells: its point, and what that was worth."""
    return (*trial.params.values(), *(trial.values or ()))


def distinct(finished: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Leave out repetitions.

    A point that was drawn again and is worth the same tells nothing new; counted twice, it draws a sampler to itself
    once more, and makes the matrix of a Gaussian process singular.
    """
    return list({told(trial): trial for trial in finished}.values())


def comparable(finished: Sequence[FrozenTrial], genes: Genes) -> list[FrozenTrial]:
    """Leave out trials that were drawn from other genes, as by a version whose space had others."""
    # A tally's trials share what is equal: to compare the genes of each took half of a draw.
    seen = {id(trial.distributions): trial.distributions for trial in finished}
    same = {key for key, of in seen.items() if all(_is_same(gene, of.get(name)) for name, gene in genes.items())}
    return [trial for trial in finished if id(trial.distributions) in same]


def _is_same(gene: Gene, other: BaseDistribution | None) -> bool:
    return type(gene) is type(other) and vars(gene) == vars(other)


class _Shared(FrozenTrial):
    """A finished trial that a study takes as it is: to copy all of them for every draw took longer than the draw."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> _Shared:
        shared = cls.__new__(cls)
        vars(shared).update(vars(trial))
        return shared

    def _validate(self) -> None:
        """Do nothing: it was validated when it ended."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return copy.copy(self)  # its study numbers it anew, and changes nothing else of a finished one


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    """Find the thread pools of this process, once: some milliseconds."""
    import scipy.optimize  # noqa: F401 - which the Gaussian process works with, a library of its own
    import torch  # noqa: F401

    return ThreadpoolController()
