"""Importance: how much of the differences between models goes with one setting alone, and how much chance makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.study.traits import Trait

LEAST_MODELS = 10
"""Fewer say nothing of any setting."""
_MOST_VALUES = 5  # of a number; more are put into quartiles
_QUARTILES = 4
_SHUFFLES = 2000
LEVEL = 0.05
"""Chance of calling any setting of a family important where none is."""


@dataclass(frozen=True)
class Importance:
    """What one setting does to what models are chosen by.

    Attributes
    ----------
    name
        Of the setting.
    share
        Of its variance that goes with the setting alone: epsilon squared, the share between groups of equal
        setting less what that many groups have by chance; at least 0.
    is_clear
        Whether shuffled values reach it seldom enough: at :data:`LEVEL` over all settings together (Bonferroni).
    """

    name: str
    share: float
    is_clear: bool


def importances(traits: Sequence[Mapping[str, Trait]], values: Sequence[float], *, seed: int) -> tuple[Importance, ...]:
    """Measure every setting that varies.

    Parameters
    ----------
    traits
        Of each model; the same names for all.
    values
        What each is worth.
    seed
        Of the shuffles.

    Returns
    -------
    tuple of Importance
        Those that are clear first, then the largest; empty where there are fewer than :data:`LEAST_MODELS` models or
        none differ.

    Notes
    -----
    A number of more than five values is put into quartiles; names that occur once are one group. The measure sees one
    setting at a time: not what two do together, and a strategy that has settled draws similar points, whose settings
    go together.

    References
    ----------
    Kelley, T. L. (1935). An unbiased correlation ratio measure. PNAS.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < LEAST_MODELS or np.ptp(found) == 0:
        return ()
    groups = {name: _groups([one[name] for one in traits]) for name in traits[0]}
    groups = {name: of for name, of in groups.items() if 1 < of.max() + 1 < len(found)}
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(found, (_SHUFFLES, 1)), axis=1).T  # (n, shuffles)
    measured = []
    for name, of in groups.items():
        share = float(_shares(of, found[:, None])[0])
        reached = int((_shares(of, shuffled) >= share - 1e-12).sum())
        chance = (1 + reached) / (1 + _SHUFFLES)
        measured.append(Importance(name, max(0.0, share), chance * len(groups) <= LEVEL))
    return tuple(sorted(measured, key=lambda one: (not one.is_clear, -one.share, one.name)))


def _groups(values: Sequence[Trait]) -> npt.NDArray[np.int64]:
    """Give each value the number of its group, from 0."""
    distinct = set(values)
    if len(distinct) > _MOST_VALUES and all(isinstance(value, int | float) for value in values):
        numbers = np.asarray(values, dtype=np.float64)
        edges = np.quantile(numbers, np.arange(1, _QUARTILES) / _QUARTILES)
        coarse = np.searchsorted(edges, numbers, side="left")
        return np.unique(coarse, return_inverse=True)[1].astype(np.int64)
    places = {value: place for place, value in enumerate(sorted(distinct, key=str), start=1)}
    counts = Counter(values)
    # A group of one has no spread within: many of them would explain whatever there is.
    numbered = [places[value] if counts[value] > 1 else 0 for value in values]
    return np.unique(numbered, return_inverse=True)[1].astype(np.int64)


def _shares(groups: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give epsilon squared of each column of values (n, m)."""
    number, kinds = len(groups), int(groups.max()) + 1
    indicator = np.zeros((kinds, number))
    indicator[groups, np.arange(number)] = 1.0
    centred = values - values.mean(axis=0)
    sizes = indicator.sum(axis=1, keepdims=True)
    between = ((indicator @ centred) ** 2 / sizes).sum(axis=0)
    whole = (centred**2).sum(axis=0)
    within = np.maximum(whole - between, 0.0)
    shares: npt.NDArray[np.float64] = 1.0 - (within / (number - kinds)) / (whole / (number - 1))
    return shares
