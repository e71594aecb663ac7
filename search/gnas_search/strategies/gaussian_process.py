"""Gaussian process: what a function is likely to be worth at places where it was not measured, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.special import erfcx

from gnas_search.loops import compiled
from gnas_search.strategies.codes import Floats
from gnas_search.strategies.coordinates import squares_between

_ROOT_5 = math.sqrt(5.0)
_LOG_ROOT_2_PI = math.log(2 * math.pi) / 2.0
_NEGLIGIBLE, _CERTAIN = -1e4, 30.0
"""So many standard deviations below nothing an improvement is its tail's first term; above, as large as the gain."""
_LEAST_NOISE = 1e-4
_STEPS = 20
"""Of a fit: what further ones change is little."""
_FARTHEST = 10.0
"""Of a fitted logarithm from 0."""


@dataclass(frozen=True)
class Kernel:
    """Matérn's of 5/2, with a relevance for each gene.

    Attributes
    ----------
    relevance : (g,)
        Of each gene: 1 over the square of the length over which the function changes.
    scale
        Variance of the function.
    noise
        Variance of a measurement.
    """

    relevance: Floats
    scale: float
    noise: float

    def of(self, squares: Floats) -> Floats:
        """Give the covariance of the function between points of some squared distances, in any shape."""
        far = np.sqrt(5.0 * squares)
        found: Floats = far / 3.0  # each further array of this size takes as long as what is calculated
        found += 1.0
        found *= far
        found += 1.0
        np.negative(far, out=far)
        found *= np.exp(far, out=far)
        found *= self.scale
        return found


def fit(squares: Floats, values: Floats) -> Kernel:
    """Find the kernel under which the values are likeliest, given what kernels are like (maximum a posteriori).

    Parameters
    ----------
    squares : (g, n, n)
        Squared distances between the points in each gene; at most 1.
    values : (n,)
        Of variance 1 and mean 0.

    References
    ----------
    Rasmussen, C. and Williams, C. (2006). Gaussian Processes for Machine Learning. MIT Press, chapter 5.
    """
    genes, count, _ = squares.shape
    flat = squares.reshape(genes, -1)
    # What is symmetric is summed over the one triangle that LAPACK inverts, its lower one, here of rows the upper.
    twice = np.triu(np.full((count, count), 2.0), 1) + np.eye(count)

    def loss(logs: Floats) -> tuple[float, Floats]:
        found = np.exp(logs)
        relevance, scale, noise = found[:genes], float(found[-2]), float(found[-1])
        far = _ROOT_5 * np.sqrt((relevance @ flat).reshape(count, count))
        fall = np.exp(-far)
        shape = (1.0 + far + far * far / 3.0) * fall
        covariance = scale * shape
        covariance.flat[:: count + 1] += noise + _LEAST_NOISE
        lower = _lower(covariance)
        weights = dpotrs(lower, values, lower=1)[0]
        likelihood = -0.5 * float(values @ weights) - float(np.log(lower.diagonal()).sum())
        inverse = dpotri(lower, lower=1, overwrite_c=1)[0].T
        outer = (np.outer(weights, weights) - inverse) * twice  # twice the derivative by the covariance
        by_square = outer * ((-5.0 / 6.0 * scale) * (1.0 + far) * fall)
        gradient = np.empty(genes + 2)
        gradient[:genes] = 0.5 * relevance * (flat @ by_square.ravel())
        gradient[-2] = 0.5 * scale * float(np.vdot(outer, shape))
        gradient[-1] = 0.5 * noise * float(outer.trace())
        prior, slope = _log_prior(relevance, scale, noise)
        return -(likelihood + prior), -(gradient + slope)

    from scipy.optimize import minimize  # a tenth of a second, for this strategy alone

    start = np.array([*np.zeros(genes), 0.0, math.log(0.05)])
    bounds = [(-_FARTHEST, _FARTHEST)] * len(start)
    logs = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}).x
    return Kernel(np.exp(logs[:genes]), math.exp(logs[-2]), math.exp(logs[-1]) + _LEAST_NOISE)


def _log_prior(relevance: Floats, scale: float, noise: float) -> tuple[float, Floats]:
    """Give the logarithm of how usual a kernel is, and its derivatives by the logarithms of relevances, scale, noise.

    As in Optuna: no gene is without any effect or decides all, the scale is Gamma(2, 1), the noise Gamma(1.1, 30).
    """
    value = -0.1 * float((relevance + 1.0 / relevance).sum()) + math.log(scale) - scale
    value += 0.1 * math.log(noise) - 30.0 * noise
    slope = np.append(-0.1 * (relevance - 1.0 / relevance), (1.0 - scale, 0.1 - 30.0 * noise))
    return value, slope


class Posterior:
    """What is known of a function after some measurements.

    Parameters
    ----------
    kernel
        Of the function.
    there : (n, d)
        Where it was measured, each coordinate stretched by the root of its gene's relevance.
    values : (n,)
        Measured there.
    """

    def __init__(self, kernel: Kernel, there: Floats, values: Floats) -> None:
        self._kernel = kernel
        self._there = there
        covariance = kernel.of(squares_between(there, there))
        covariance[np.diag_indices_from(covariance)] += kernel.noise
        self._lower = _lower(covariance)
        self._whitened: Floats = dtrtrs(self._lower, values, lower=1)[0]

    def at(self, places: Floats) -> tuple[Floats, Floats]:
        """Give mean and standard deviation at m places (m, d): (m,) each."""
        found = np.empty((2, len(places)))
        _look(np.ascontiguousarray(places.T), self._there, self._lower, self._whitened, self._kernel.scale, found)
        return found[0], found[1]


@compiled
def _look(places: Floats, there: Floats, lower: Floats, whitened: Floats, scale: float, out: Floats) -> None:
    """Write mean and standard deviation at places (d, m) into (2, m), from those measured (n, d).

    In one loop: of a draw's five milliseconds between two trainings, some dozen cold functions of NumPy and SciPy took
    one more.
    """
    count, places_of = there.shape[0], places.shape[1]
    shared = np.zeros((count, places_of))
    out[:] = 0.0
    for row in range(count):
        for axis in range(there.shape[1]):
            at = there[row, axis]
            for place in range(places_of):
                apart = at - places[axis, place]
                shared[row, place] += apart * apart
        for place in range(places_of):
            far = math.sqrt(5.0 * shared[row, place])
            shared[row, place] = scale * (1.0 + far + far * far / 3.0) * math.exp(-far)
        for before in range(row):  # forward substitution
            factor = lower[row, before]
            for place in range(places_of):
                shared[row, place] -= factor * shared[before, place]
        factor = 1.0 / lower[row, row]
        for place in range(places_of):
            found = factor * shared[row, place]
            shared[row, place] = found
            out[0, place] += whitened[row] * found
            out[1, place] += found * found
    for place in range(places_of):
        out[1, place] = math.sqrt(max(scale - out[1, place], 1e-12))


@cache
def compile_look() -> None:
    """Compile what looks at places, or load it as compiled before: no draw between two trainings is to wait for it."""
    there = np.eye(2)  # of a single place arrays by rows and by columns are the same, and compiled for one of them
    Posterior(Kernel(np.ones(2), 1.0, 1.0), there, np.ones(2)).at(there)


def log_expected_improvement(gain: Floats, deviation: Floats) -> Floats:
    """Give the logarithm of how much better than the best some points are expected to be, worse counting as nothing.

    Parameters
    ----------
    gain, deviation : (m,)
        By how much the mean of each is higher than the best, and its standard deviation, above 0.

    References
    ----------
    Ament, S. et al. (2023). Unexpected improvements to expected improvement for Bayesian optimization. NeurIPS.
    """
    z = gain / deviation
    near = np.minimum(z, _CERTAIN)
    # Of near Phi(near) + phi(near), what is left of a division by phi: both may be 0 in double precision.
    left = near * erfcx(near * -math.sqrt(0.5))
    left *= math.sqrt(math.pi / 2.0)
    left += 1.0
    if near.min() < _NEGLIGIBLE:  # there the two of the sum are each other's opposite
        left = np.where(near < _NEGLIGIBLE, np.minimum(near, _NEGLIGIBLE) ** -2.0, left)
    found: Floats = np.log(left)
    found -= near * near / 2.0 + _LOG_ROOT_2_PI
    found += np.log(np.maximum(z / _CERTAIN, 1.0) * deviation)
    return found


def _lower(matrix: Floats) -> Floats:
    """Put Cholesky's lower factor of a positive definite matrix in its place; above its diagonal nothing is of meaning.

    As it is symmetric it may be read by columns, as LAPACK does: no copy is made.
    """
    lower, failed = dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the covariance is not positive definite")
    found: Floats = lower
    return found
