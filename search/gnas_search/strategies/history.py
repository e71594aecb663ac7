"""History: the different complete trials of a search as arrays, read trial by trial as they end."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

import numpy as np
from optuna.trial import FrozenTrial

from gnas_search.space.points import Genes
from gnas_search.strategies.codes import Axes, Codes, Floats
from gnas_search.strategies.coordinates import Coordinates
from gnas_search.strategies.proposer import told


class History:
    """What a proposer knows of points, with all genes, and of what they were worth.

    A point that was drawn again and is worth the same tells nothing new, and counts once.

    Parameters
    ----------
    genes
        None with a single value.

    Attributes
    ----------
    axes
        Of these genes.
    codes
        The n points, in the order drawn.
    values : (n,)
        The first objective of each; the higher the better.
    genes
        As given.
    coordinates
        Of these genes.
    """

    def __init__(self, genes: Genes) -> None:
        self.axes = Axes(genes)
        self.codes = self.axes.encode(())
        self.values: Floats = np.zeros(0)
        self.genes = genes
        self.coordinates = Coordinates(genes, self.axes)
        self._read: list[FrozenTrial] = []
        self._known: set[tuple[object, ...]] = set()

    @classmethod
    def of(cls, finished: Sequence[FrozenTrial], genes: Genes) -> History:
        """Give the history of some trials: the last one of these genes, where these are its trials and further ones.

        To read hundreds of trials anew for each draw takes longer than to draw.
        """
        history = _LATEST.get(tuple(genes))
        if history is None or not history._goes_on_with(finished, genes):
            history = cls(genes)
        history._add(finished[len(history._read) :])
        _LATEST[tuple(genes)] = history
        return history

    def has(self, point: Codes) -> bool:
        """Tell whether a single point is among these."""
        same = (self.codes.chosen == point.chosen).all(axis=1)
        return bool((same & (self.codes.placed == point.placed).all(axis=1)).any())

    def _goes_on_with(self, finished: Sequence[FrozenTrial], genes: Genes) -> bool:
        if genes != self.genes or len(finished) < len(self._read):
            return False
        return all(map(is_, self._read, finished)) or all(map(_tell_the_same, self._read, finished))

    def _add(self, trials: Sequence[FrozenTrial]) -> None:
        new = []
        for trial in trials:
            key = told(trial)
            if trial.values and key not in self._known:
                self._known.add(key)
                new.append(trial)
        self._read += trials
        self.codes = self.codes.and_then(self.axes.encode(new))
        self.values = np.append(self.values, [trial.values[0] for trial in new])


def _tell_the_same(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Tell whether two are one trial with one value; where less is better, a copy of it is told at each draw."""
    return one is other or (one.params is other.params and one.values == other.values)


_LATEST: dict[tuple[str, ...], History] = {}
"""By their genes: those of a search, in its two phases and of each family, are a handful."""
