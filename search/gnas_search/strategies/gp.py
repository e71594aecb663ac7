"""GP: model the objective by a Gaussian process, try where the largest improvement is to be expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from optuna.trial import FrozenTrial
from threadpoolctl import LibController, ThreadpoolController

from gnas_search.space.points import Genes, Point, first_value, random_point
from gnas_search.strategies.codes import Codes, Floats, Indices
from gnas_search.strategies.coordinates import mutants, random_codes
from gnas_search.strategies.gaussian_process import Kernel, Posterior, fit, log_expected_improvement
from gnas_search.strategies.history import History

STARTUP_TRIALS = 8
MOST = 96
"""So many trials a process rests on."""
_FITTED_ANEW = 1.3
"""After so many times the trials the kernel is fitted anew: to do so for each draw found nothing better."""
_RANDOM, _PARENTS, _MUTANTS = 48, 8, 6
"""Candidates: random points, and mutants of each of the best trials."""
_ROUNDS, _CLIMBING = 2, 4
"""So often the best few of the candidates get as many mutants of their own."""
_WORST = 4.0
"""What lies further below the median than so many times the way from there to the best counts as no worse."""


def gp(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Look for the largest expected improvement among random points, and mutants of what is best; new ones alone.

    The process is over all genes jointly. Every trial tells at once; the kernel is fitted when there are three tenths
    more, but with several objectives, which are weighed anew for each draw. Else a draw takes four or five
    milliseconds between two trainings, where Optuna's ``GPSampler`` takes more than a hundred, and finds as much.

    References
    ----------
    Snoek, J., Larochelle, H. and Adams, R. (2012). Practical Bayesian optimization of machine learning algorithms.
    NeurIPS.
    """
    # Differs from Snoek et al.: candidates are compared and none is moved along a gradient; most genes are choices.
    # None is one that was tried: the kernel has noise, but what a model is worth is the same each time.
    free = {name: gene for name, gene in sorted(genes.items()) if not gene.single()}
    rng = np.random.default_rng(seed)
    known = History.of(finished, free) if free else None
    if known is None or len(known.values) < STARTUP_TRIALS:
        return random_point(rng, genes)
    # Its matrices are of some hundred rows: more threads would wait for each other most of the time.
    with _one_thread():
        best = largest(rng, known, Surrogate(known).log_gain)
    chosen = known.axes.decode(best, 0)
    return {name: chosen[name] if name in chosen else first_value(gene) for name, gene in genes.items()}


def largest(rng: np.random.Generator, known: History, log_gain: Callable[[Codes], Floats]) -> Codes:
    """Look for the point of the largest gain that was not tried; give it as the only one.

    Where none is new, it is one that was tried.

    Parameters
    ----------
    rng
        Draws the candidates.
    known
        What was tried; of the best trials there are mutants among them.
    log_gain
        Says what m points promise, (m,); only the order matters.
    """
    axes = known.axes
    parents = np.argsort(-known.values, kind="stable")[:_PARENTS]
    candidates = random_codes(rng, axes, _RANDOM)
    candidates = candidates.and_then(mutants(rng, axes, known.codes.of(np.repeat(parents, _MUTANTS))))
    gains = log_gain(candidates)
    for _ in range(_ROUNDS):
        climbing = np.argsort(-gains, kind="stable")[:_CLIMBING]
        further = mutants(rng, axes, candidates.of(np.repeat(climbing, _MUTANTS)))
        candidates, gains = candidates.and_then(further), np.append(gains, log_gain(further))
    ranked = np.argsort(-gains, kind="stable")
    return candidates.of(next((row for row in ranked[:, None] if not known.has(candidates.of(row))), ranked[:1]))


class Surrogate:
    """A Gaussian process that stands in for the objective.

    Parameters
    ----------
    known
        At least two trials.
    """

    def __init__(self, known: History) -> None:
        self._coordinates = known.coordinates
        kernel = _kernel(known)
        rows = kept(known.values)
        values = standardised(known.values[rows])
        self._stretched = np.sqrt(kernel.relevance[self._coordinates.gene_of])  # (d,)
        self._posterior = Posterior(kernel, self._coordinates.of(known.codes.of(rows)) * self._stretched, values)
        self._best = float(values.max())

    def log_gain(self, codes: Codes) -> Floats:
        """Give the logarithm of the expected improvement over the best trial, of m points: (m,)."""
        mean, deviation = self._posterior.at(self._coordinates.of(codes) * self._stretched)
        return log_expected_improvement(mean - self._best, deviation)


def _kernel(known: History) -> Kernel:
    """Fit the kernel to the trials up to the last time that one is due."""
    due = STARTUP_TRIALS
    while (later := max(due + 1, int(due * _FITTED_ANEW))) <= len(known.values):
        due = later
    codes, values = known.codes.of(np.arange(due)), known.values[:due]
    latest = _LATEST.get(tuple(known.genes))
    if latest is None or not latest.is_of(known.genes, codes, values):
        rows = kept(values)
        squares = known.coordinates.squares(known.coordinates.of(codes.of(rows)))
        latest = _Fitted(known.genes, codes, values, fit(squares, standardised(values[rows])))
        _LATEST[tuple(known.genes)] = latest
    return latest.kernel


@dataclass(frozen=True)
class _Fitted:
    """A kernel, and what it was fitted to."""

    genes: Genes
    codes: Codes
    values: Floats
    kernel: Kernel

    def is_of(self, genes: Genes, codes: Codes, values: Floats) -> bool:
        """Tell whether it is the kernel of these trials.

        They are told from others by what they say: with several slots, one that ends late changes the order.
        """
        pairs = zip(
            (codes.chosen, codes.placed, values), (self.codes.chosen, self.codes.placed, self.values), strict=True
        )
        return genes == self.genes and all(np.array_equal(one, other) for one, other in pairs)


_LATEST: dict[tuple[str, ...], _Fitted] = {}
"""By the names of the genes."""


def kept(values: Floats) -> Indices:
    """Say which trials a process rests on, in their order: all, or the better half of so many and the latest others."""
    if len(values) <= MOST:
        return np.arange(len(values))
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.argsort(-values, kind="stable")[: MOST // 2]] = True
    chosen[np.nonzero(~chosen)[0][-(MOST // 2) :]] = True
    return np.nonzero(chosen)[0]


def standardised(values: Floats) -> Floats:
    """Scale values to mean 0 and variance 1; what is far below the others would leave these nothing to differ by."""
    middle, best = _median(values), float(values.max())
    usual = best - (middle if middle < best else _median(np.unique(values)))
    raised = np.maximum(values, middle - _WORST * usual)
    span = best - float(raised.min())
    unit = (raised - raised.min()) / (span if span > 0 else 1.0)  # the square of a value may be none
    found: Floats = unit - unit.mean()
    spread = math.sqrt(float(found @ found) / len(found))
    found /= spread if spread > 0 else 1.0
    return found


def _median(values: Floats) -> float:
    """Give what NumPy's gives, which takes some dozen times as long for so few."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0


@lru_cache(maxsize=1)
def _pools() -> list[LibController]:
    """Find the thread pools of this process, once: some milliseconds."""
    found: list[LibController] = ThreadpoolController().lib_controllers
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the pools be of one thread each: threadpoolctl's own way asks each for all that it knows of itself."""
    before = [(pool, pool.num_threads) for pool in _pools()]
    changed = [(pool, threads) for pool, threads in before if threads is not None and threads > 1]
    try:
        for pool, _ in changed:
            pool.set_num_threads(1)
        yield
    finally:
        for pool, threads in changed:
            pool.set_num_threads(threads)
