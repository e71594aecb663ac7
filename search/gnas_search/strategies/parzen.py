"""Parzen estimator: a density over points, one kernel around each point that was seen and one over the whole space."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from gnas_search.strategies.codes import Axes, Codes, Floats

_RECENT = 25
"""So many of the latest points weigh alike; those before them the less the older."""
_LOG_ROOT_2_PI = math.log(2 * math.pi) / 2


class ParzenEstimator:
    """A mixture of products: each kernel has a factor for each gene.

    A kernel's factor is 1 more for the choice that was seen than for the others, or a normal distribution, cut off at
    the gene's ends, as wide as the way to the further one of its neighbours.

    Parameters
    ----------
    axes
        Of c genes with choices and m numbers.
    seen
        The points, from the oldest to the latest; k - 1 of them, possibly none.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization. NeurIPS 2011.
    Falkner, Klein, Hutter: BOHB. ICML 2018 (the joint density).
    """

    def __init__(self, axes: Axes, seen: Codes) -> None:
        self._axes = axes
        count = len(seen.chosen)
        weights = np.append(_weights(count), 1.0)
        self._weights = weights / weights.sum()  # (k,)
        # Seen or not: of the kernel over the whole space, the last, every choice alike.
        miss = 1.0 / (count + 1) / (1.0 + axes.choices / (count + 1))
        self._chances = np.stack([miss, miss * (count + 2)]) if count else np.stack([1.0 / axes.choices] * 2)  # (2, c)
        self._chosen = seen.chosen  # (k - 1, c)
        middle = (axes.low + axes.high) / 2
        self._mu = np.vstack([seen.placed, middle])  # (k, m)
        self._sigma = np.vstack([_widths(seen.placed, axes.low, axes.high), axes.high - axes.low])  # (k, m)
        self._below = ndtr((axes.low - self._mu) / self._sigma)  # (k, m)
        self._mass = 1.0 - self._below - ndtr((self._mu - axes.high) / self._sigma)  # (k, m)

    def sample(self, rng: np.random.RandomState, count: int) -> Codes:
        """Draw so many points, n."""
        kernels = rng.choice(len(self._weights), p=self._weights, size=count)  # (n,)
        chosen = np.zeros((count, len(self._axes.choices)), dtype=np.intp)
        whole = kernels == len(self._chosen)  # the kernel over the whole space, the last
        around = np.nonzero(~whole)[0]
        for place, choices in enumerate(self._axes.choices):
            chances = np.full((count, choices), self._chances[0, place])
            chances[around, self._chosen[kernels[around], place]] = self._chances[1, place]
            chances[whole] = 1.0 / choices
            sums = np.cumsum(chances, axis=1)  # (n, choices)
            sums[:, -1] = 1.0
            chosen[:, place] = (sums < rng.rand(count)[:, None]).sum(axis=1)
        mu, sigma, below, mass = (of[kernels] for of in (self._mu, self._sigma, self._below, self._mass))
        quantiles = rng.uniform(size=mu.T.shape).T
        placed = np.clip(mu + sigma * ndtri(below + quantiles * mass), self._axes.low, self._axes.high)
        return Codes(chosen, self._axes.rounded(placed))

    def log_pdf(self, codes: Codes) -> Floats:
        """Give the logarithm of the density of n points, (n,)."""
        logs = np.log(self._weights)[None, :] - np.log(self._mass).sum(axis=1)  # (1, k)
        if len(self._axes.choices):
            miss, seen = np.log(self._chances)
            more = self._axes.one_hot(codes.chosen) * np.repeat(seen - miss, self._axes.choices)  # (n, all choices)
            uniform = np.full((len(more), 1), -np.log(self._axes.choices).sum())
            logs = logs + np.hstack([more @ self._axes.one_hot(self._chosen).T + miss.sum(), uniform])  # (n, k)
        smooth = [place for place in range(self._mu.shape[1]) if place not in self._axes.stepped]
        if smooth:
            mu, sigma = self._mu[:, smooth], self._sigma[:, smooth]
            distances = (codes.placed[:, None, smooth] - mu) / sigma  # (n, k, smooth)
            logs = logs - np.log(sigma).sum(axis=1) - len(smooth) * _LOG_ROOT_2_PI - (distances**2).sum(axis=2) / 2
        for place in self._axes.stepped:
            logs = logs + self._log_mass(place, codes.placed[:, place])
        most = logs.max(axis=1)
        found: Floats = np.log(np.exp(logs - most[:, None]).sum(axis=1)) + most
        return found

    def _log_mass(self, place: int, codes: Floats) -> Floats:
        """Give the logarithm of what each kernel has of n whole numbers, (n, k)."""
        numbers, of_code = np.unique(codes, return_inverse=True)
        kernels, of_kernel = np.unique(self._mu[:, place] + 1j * self._sigma[:, place], return_inverse=True)
        left, right = self._axes.around(place, numbers)
        a = (left[:, None] - kernels.real) / kernels.imag
        b = (right[:, None] - kernels.real) / kernels.imag
        right_half = a > 0  # where the two are too near to 1 to be told apart
        a, b = np.where(right_half, -b, a), np.where(right_half, -a, b)
        upper = log_ndtr(b)
        found: Floats = (upper + np.log1p(-np.exp(log_ndtr(a) - upper)))[np.ix_(of_code, of_kernel)]
        return found


def _weights(count: int) -> Floats:
    """Weigh so many points, the oldest first."""
    if count < _RECENT:
        return np.ones(count)
    return np.concatenate([np.linspace(1.0 / count, 1.0, num=count - _RECENT), np.ones(_RECENT)])


def _widths(placed: Floats, low: Floats, high: Floats) -> Floats:
    """Give the standard deviations of the kernels around n points, (n, m) as these."""
    count = len(placed)
    if not placed.size:
        return placed
    order = np.argsort(placed, axis=0)
    between = np.vstack([low, np.take_along_axis(placed, order, axis=0), high])
    gaps = np.diff(between, axis=0)  # (n + 1, m)
    widths = np.maximum(gaps[:-1], gaps[1:])
    if count >= 2:  # the way to an end of the range says nothing of how dense the points are
        widths[0], widths[-1] = gaps[1], gaps[-2]
    found = np.empty_like(widths)
    np.put_along_axis(found, order, widths, axis=0)
    span = high - low
    return np.clip(found, span / min(100.0, 2.0 + count), span)
