"""Coordinates: points as places, so far apart as their values differ; drawn at random, and near others."""

from __future__ import annotations

import math

import numpy as np
from optuna.distributions import CategoricalDistribution

from gnas_search.space.points import Genes, is_ordered, values_of
from gnas_search.strategies.codes import Axes, Codes, Floats, Indices

_STEP = 0.2
"""Standard deviation of a small change of a number, in parts of its range."""


class Coordinates:
    """Where points lie: two values of a gene are at most 1 apart.

    Numbers lie on their own scale, choices among numbers evenly in their order, and of other choices any two are 1
    apart: each has a column that is ``sqrt(1 / 2)`` for it alone.

    Parameters
    ----------
    genes
        The g genes of the axes, in their order.
    axes
        Of these genes.

    Attributes
    ----------
    gene_of : (d,)
        Which gene each coordinate is of: those with choices come first, of these the ordered ones.
    """

    def __init__(self, genes: Genes, axes: Axes) -> None:
        self._axes = axes
        choices = [gene for gene in genes.values() if isinstance(gene, CategoricalDistribution)]
        is_line = np.array([is_ordered(gene) for gene in choices], dtype=bool)
        self._lines, self._corners = np.nonzero(is_line)[0], np.nonzero(~is_line)[0]
        # All places of the ordered genes one after another, and where those of each begin; of the others the columns.
        self._places = np.concatenate([np.zeros(0), *(_places(choices[number]) for number in self._lines)])
        self._first_place = np.cumsum([0, *axes.choices[self._lines]])[:-1]
        self._first_column = len(self._lines) + np.cumsum([0, *axes.choices[self._corners]])[:-1]
        corners = np.repeat(self._corners, axes.choices[self._corners])
        self.gene_of: Indices = np.concatenate([self._lines, corners, len(choices) + np.arange(len(axes.low))])

    def of(self, codes: Codes) -> Floats:
        """Give the coordinates of n points, (n, d)."""
        found = np.zeros((len(codes.chosen), len(self.gene_of)))
        found[:, : len(self._lines)] = self._places[self._first_place + codes.chosen[:, self._lines]]
        rows = np.arange(len(found))[:, None]
        found[rows, self._first_column + codes.chosen[:, self._corners]] = math.sqrt(0.5)
        low, high = self._axes.low, self._axes.high
        found[:, found.shape[1] - len(low) :] = (codes.placed - low) / (high - low)
        return found

    def squares(self, coordinates: Floats) -> Floats:
        """Give the squared distances between n points in each gene, (g, n, n)."""
        found = np.zeros((self.gene_of.max() + 1, len(coordinates), len(coordinates)))
        for gene, column in zip(self.gene_of, coordinates.T, strict=True):
            found[gene] += (column[:, None] - column) ** 2
        return found


def _places(gene: CategoricalDistribution) -> Floats:
    """Give the place of each choice of an ordered gene."""
    order = values_of(gene)
    return np.array([order.index(choice) / (len(order) - 1) for choice in gene.choices])


def squares_between(one: Floats, other: Floats) -> Floats:
    """Give the squared distances of m places, (m, d), to n, (n, d): (m, n)."""
    found: Floats = one @ (-2.0 * other.T)
    found += np.einsum("ij,ij->i", one, one)[:, None]
    found += np.einsum("ij,ij->i", other, other)
    return np.maximum(found, 0.0, out=found)


def random_codes(rng: np.random.Generator, axes: Axes, count: int) -> Codes:
    """Draw so many points, every gene by itself."""
    chosen = rng.integers(axes.choices, size=(count, len(axes.choices)))
    placed = rng.uniform(axes.low, axes.high, size=(count, len(axes.low)))
    return Codes(chosen, axes.rounded(placed))


def mutants(rng: np.random.Generator, axes: Axes, parents: Codes) -> Codes:
    """Give each of n points with a gene or a few changed: to another choice, a number a little, or to any at all."""
    count, choices = parents.chosen.shape
    genes = choices + len(axes.low)
    changed = rng.random((count, genes)) < 1.0 / genes
    changed[np.arange(count), rng.integers(genes, size=count)] = True
    chosen, placed = parents.chosen.copy(), parents.placed.copy()
    rows, places = np.nonzero(changed[:, :choices])
    chosen[rows, places] = (chosen[rows, places] + rng.integers(1, axes.choices[places])) % axes.choices[places]
    rows, places = np.nonzero(changed[:, choices:])
    low, high = axes.low[places], axes.high[places]
    near = placed[rows, places] + rng.normal(0.0, _STEP, size=len(rows)) * (high - low)
    anywhere = rng.uniform(low, high)
    placed[rows, places] = np.where(rng.random(len(rows)) < 0.5, anywhere, np.minimum(np.maximum(near, low), high))
    return Codes(chosen, axes.rounded(placed))
