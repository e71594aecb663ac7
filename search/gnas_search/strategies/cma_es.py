"""CMA-ES: a Gaussian over numbers and chances over choices, moved towards the better half of each generation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point, from_unit, is_ordered, random_point, to_unit, values_of
from gnas_search.strategies.learning import Learning
from gnas_search.strategies.proposer import ValuedPoint, tried

# By need: it loads `scipy.stats`, which every process of a search, a training or an export would wait for.
if TYPE_CHECKING:
    from cmaes import CatCMAwM


def cma_es(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw from the distribution that the whole generations of trials so far lead to.

    Generations are the complete trials in the order drawn, whoever drew them: told again one after the other, they
    make the same distribution each time. Continuous genes are places in 0..1, ordered ones steps in it, with a margin
    that keeps every step possible; the others have chances.

    References
    ----------
    Hansen, N. and Ostermeier, A. (2001). Completely derandomized self-adaptation in evolution strategies.
    Evolutionary Computation 9(2).
    Hamano, R. et al. (2025). CatCMA with margin: stochastic optimization for continuous, integer, and categorical
    variables. GECCO.
    """
    # Differs from Hamano et al.: a trial remembers its point, not the sample behind it, so what lay beyond a bound is
    # taken to have lain on it, and what was rounded to a step, on that step.
    free = {name: gene for name, gene in genes.items() if not gene.single()}
    if not free:
        return random_point(np.random.default_rng(seed), genes)
    axes = _Axes.of(free)
    optimizer = _LEARNING.of(free, tried(finished), batch=_begin(free).population_size)
    optimizer.reseed_rng(seed % (1 << 32))
    drawn = optimizer.ask()
    point: dict[str, Any] = {name: values_of(gene, 1)[0] for name, gene in genes.items() if gene.single()}
    for names, units in ((axes.continuous, drawn.x), (axes.stepped, drawn.z)):
        if units is not None:
            point |= {name: from_unit(free[name], float(unit)) for name, unit in zip(names, units, strict=True)}
    if drawn.c is not None:
        rows = zip(axes.chosen, drawn.c, strict=True)
        point |= {name: values_of(free[name])[int(row.argmax())] for name, row in rows}
    return {name: point[name] for name in genes}


@dataclass(frozen=True)
class _Axes:
    """The genes as the library has them, by kind."""

    free: Genes
    continuous: list[str]
    stepped: list[str]
    chosen: list[str]

    @classmethod
    def of(cls, free: Genes) -> _Axes:
        continuous = [name for name, gene in free.items() if isinstance(gene, FloatDistribution)]
        ordered = [name for name, gene in free.items() if is_ordered(gene) and name not in continuous]
        # Of two values, neither is between others: the library wants them as choices.
        stepped = [name for name in ordered if len(values_of(free[name])) > 2]
        return cls(free, continuous, stepped, [name for name in free if name not in {*continuous, *stepped}])

    def optimizer(self) -> CatCMAwM:
        from cmaes import CatCMAwM

        return CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self.continuous) or None,
            z_space=[[to_unit(self.free[name], value) for value in values_of(self.free[name])] for name in self.stepped]
            or None,
            c_space=[len(values_of(self.free[name])) for name in self.chosen] or None,
        )

    def solution(self, point: Point) -> CatCMAwM.Solution:
        """Say a point in the library's terms, as if it had been drawn right there."""
        from cmaes import CatCMAwM

        x = np.array([to_unit(self.free[name], point[name]) for name in self.continuous])
        z = np.array([to_unit(self.free[name], point[name]) for name in self.stepped])
        c = None
        if self.chosen:
            c = np.zeros((len(self.chosen), max(len(values_of(self.free[name])) for name in self.chosen)), dtype=bool)
            for row, name in enumerate(self.chosen):
                c[row, values_of(self.free[name]).index(point[name])] = True
        return CatCMAwM.Solution(x, z, c, np.concatenate([x, z]))


def _begin(free: Genes) -> CatCMAwM:
    return _Axes.of(free).optimizer()


def _learn(optimizer: CatCMAwM, free: Genes, generation: Sequence[ValuedPoint]) -> CatCMAwM:
    axes = _Axes.of(free)
    told = [(axes.solution(one.point), -one.value) for one in generation]
    if _tells_apart([loss for _, loss in told]):
        optimizer.tell(told)
    return optimizer


# To ask for a point replaces arrays and changes none; the generator, which a shallow copy shares, is seeded anew.
_LEARNING = Learning(_begin, _learn, copied=copy.copy)


def _tells_apart(values: list[float]) -> bool:
    """Tell whether a generation has a spread, by which the library scales what it does at the bounds."""
    ordered = sorted(values)
    return ordered[3 * len(ordered) // 4] > ordered[len(ordered) // 4]
