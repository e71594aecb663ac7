"""CMA-ES: a Gaussian over numbers and chances over choices, moved towards the better half of each generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cmaes import CatCMAwM
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from gnas_search.space import Gene
from gnas_search.strategies.encoding import Genes, Point, from_unit, is_ordered, random_point, to_unit, values_of
from gnas_search.strategies.proposer import tried


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
    free = {name: gene for name, gene in genes.items() if not gene.single()}
    if not free:
        return random_point(np.random.default_rng(seed), genes)
    continuous = [name for name, gene in free.items() if isinstance(gene, FloatDistribution)]
    stepped = [name for name, gene in free.items() if is_ordered(gene) and name not in continuous]
    chosen = [name for name, gene in free.items() if not is_ordered(gene)]
    # Of two values, neither is between others: the library wants them as choices.
    chosen += [name for name in stepped if len(values_of(free[name])) < 3]
    stepped = [name for name in stepped if name not in chosen]
    optimizer = CatCMAwM(
        x_space=[[0.0, 1.0]] * len(continuous) or None,
        z_space=[[to_unit(free[name], value) for value in values_of(free[name])] for name in stepped] or None,
        c_space=[len(values_of(free[name])) for name in chosen] or None,
        seed=seed % (1 << 32),
    )
    told = tried(finished)
    size = optimizer.population_size
    for start in range(0, len(told) - size + 1, size):
        generation = [
            (_solution(one.point, free, continuous, stepped, chosen), -one.value) for one in told[start : start + size]
        ]
        if _tells_apart([value for _, value in generation]):
            optimizer.tell(generation)
    drawn = optimizer.ask()
    point: dict[str, Any] = {name: values_of(gene, 1)[0] for name, gene in genes.items() if gene.single()}
    for names, units in ((continuous, drawn.x), (stepped, drawn.z)):
        if units is not None:
            point |= {name: from_unit(free[name], float(unit)) for name, unit in zip(names, units, strict=True)}
    if drawn.c is not None:
        point |= {name: values_of(free[name])[int(row.argmax())] for name, row in zip(chosen, drawn.c, strict=True)}
    return {name: point[name] for name in genes}


def _tells_apart(values: list[float]) -> bool:
    """Tell whether a generation has a spread, by which the library scales what it does at the bounds."""
    ordered = sorted(values)
    return ordered[3 * len(ordered) // 4] > ordered[len(ordered) // 4]


def _solution(
    point: Point, free: dict[str, Gene], continuous: list[str], stepped: list[str], chosen: list[str]
) -> CatCMAwM.Solution:
    """Say a point as the library would have drawn it."""
    x = np.array([to_unit(free[name], point[name]) for name in continuous])
    z = np.array([to_unit(free[name], point[name]) for name in stepped])
    c = None
    if chosen:
        c = np.zeros((len(chosen), max(len(values_of(free[name])) for name in chosen)), dtype=bool)
        for row, name in enumerate(chosen):
            c[row, values_of(free[name]).index(point[name])] = True
    return CatCMAwM.Solution(x, z, c, np.concatenate([x, z]))
