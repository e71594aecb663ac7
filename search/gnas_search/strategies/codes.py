"""Codes: the points of trials as arrays, choices by their number and numbers on their own scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes, Point

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Codes:
    """Points as numbers.

    Attributes
    ----------
    chosen : (n, c)
        Which choice of each gene that has choices.
    placed : (n, m)
        Where on its own scale each number lies: the logarithm, where the gene has one.
    """

    chosen: Indices
    placed: Floats

    def of(self, rows: Indices) -> Codes:
        """Give some of the points."""
        return Codes(self.chosen[rows], self.placed[rows])

    def and_then(self, further: Codes) -> Codes:
        """Give these points and further ones."""
        return Codes(np.concatenate([self.chosen, further.chosen]), np.concatenate([self.placed, further.placed]))


class Axes:
    """The genes of a space, those with choices apart from the numbers.

    Parameters
    ----------
    genes
        At least one, none with a single value.

    Raises
    ------
    ValueError
        If a number goes in steps other than 1, as none of a space does.
    """

    def __init__(self, genes: Genes) -> None:
        self._genes = genes
        self._chosen = {n: gene for n, gene in genes.items() if isinstance(gene, CategoricalDistribution)}
        self._placed = {n: gene for n, gene in genes.items() if not isinstance(gene, CategoricalDistribution)}
        self.choices = np.array([len(gene.choices) for gene in self._chosen.values()], dtype=np.intp)  # (c,)
        ends = [_ends(gene) for gene in self._placed.values()]
        self.low, self.high = np.array(ends, dtype=np.float64).reshape(-1, 2).T  # (m,), (m,)
        if any(gene.step not in (None, 1) or isinstance(gene.step, float) for gene in self._placed.values()):
            raise ValueError("numbers go in steps of 1, or in none")
        self.stepped = [place for place, gene in enumerate(self._placed.values()) if gene.step is not None]
        self._whole = [(log, *self._stepped_on(log=log)) for log in (False, True)]
        self._read: dict[str, dict[float, float]] = {name: {} for name, gene in self._placed.items() if gene.log}

    def encode(self, trials: Sequence[FrozenTrial]) -> Codes:
        """Read the points of some trials, n of them."""
        if not trials:
            return Codes(np.zeros((0, len(self._chosen)), dtype=np.intp), np.zeros((0, len(self._placed))))
        values = itemgetter(*self._genes)
        rows = [values(trial.params) for trial in trials]
        columns = dict(zip(self._genes, zip(*rows, strict=True) if len(self._genes) > 1 else [rows], strict=True))
        chosen = np.zeros((len(trials), len(self._chosen)), dtype=np.intp)
        placed = np.zeros((len(trials), len(self._placed)))
        for place, (name, choices) in enumerate(self._chosen.items()):
            number = {choice: at for at, choice in enumerate(choices.choices)}
            chosen[:, place] = list(map(number.__getitem__, columns[name]))
        for place, (name, gene) in enumerate(self._placed.items()):
            numbers = np.array(columns[name], dtype=np.float64)
            placed[:, place] = np.log(numbers) if gene.log else numbers
            if gene.log:
                self._read[name].update(zip(placed[:, place].tolist(), columns[name], strict=True))
        return Codes(chosen, placed)

    def one_hot(self, chosen: Indices) -> Floats:
        """Give n points of c choices as 1 where a choice is theirs, (n, all choices of all genes)."""
        places = np.cumsum(self.choices) - self.choices
        found = np.zeros((len(chosen), int(self.choices.sum())))
        found[np.arange(len(chosen))[:, None], chosen + places] = 1.0
        return found

    def decode(self, codes: Codes, row: int) -> Point:
        """Give one of some points as values of the genes; a number that was read is the very same."""
        point: Point = {}
        for (name, choices), code in zip(self._chosen.items(), codes.chosen[row], strict=True):
            point[name] = choices.choices[int(code)]  # type: ignore[assignment]  # none of our genes has None
        for (name, gene), code in zip(self._placed.items(), codes.placed[row], strict=True):
            # Through the logarithm and back it might be another by its last digit, and its model another model.
            read = self._read[name].get(float(code)) if gene.log else float(code)
            value = min(max(math.exp(code) if read is None else read, gene.low), gene.high)
            point[name] = value if gene.step is None else round(value)
        return point

    def rounded(self, placed: Floats) -> Floats:
        """Give places of which those of whole numbers are such, (n, m) as they were given."""
        for log, places, low, high in self._whole:
            if len(places):
                numbers = np.exp(placed[:, places]) if log else placed[:, places]
                numbers = np.minimum(np.maximum(np.rint(numbers), low), high)
                placed[:, places] = np.log(numbers) if log else numbers
        return placed

    def _stepped_on(self, *, log: bool) -> tuple[Indices, Floats, Floats]:
        """Give the places of the whole numbers that are, or are not, on a logarithmic scale, and their ends."""
        genes = list(self._placed.values())
        places = np.array([place for place in self.stepped if genes[place].log == log], dtype=np.intp)
        ends = [(genes[place].low, genes[place].high) for place in places]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        return places, low, high

    def around(self, place: int, codes: Floats) -> tuple[Floats, Floats]:
        """Give where whole numbers begin and end, (n,) each, on the gene's own scale."""
        if not list(self._placed.values())[place].log:
            return codes - 0.5, codes + 0.5
        numbers = np.round(np.exp(codes))
        return np.log(numbers - 0.5), np.log(numbers + 0.5)


def _ends(gene: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Give the ends of a number on its own scale; those of a whole one lie half a step further out."""
    beyond = 0.0 if gene.step is None else gene.step / 2
    low, high = gene.low - beyond, gene.high + beyond
    return (math.log(low), math.log(high)) if gene.log else (low, high)
