"""Spectra: eigenvalues and item vectors of a graph's weighted interactions, shared by the filters that need them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gnas_search.closed_form.incidence import Incidence
from gnas_search.data.dataset import InteractionGraph
from gnas_search.spectral import truncated_svd

_KEPT = 3
"""Decompositions held at a time: each is (I, rank) floats, 84 MB for 512 columns of Gowalla's 41 thousand items."""

_STEP = 512
"""Decompositions are of a multiple of so many columns. A randomised decomposition's leading columns depend a little on
how many were asked for: this way a filter is one model by its rank alone, whatever else a study or a blend asks for,
and small catalogues are decomposed exactly. 512 columns of Gowalla take 3 s."""

_NOISE = 1e-5
"""Singular values below this part of the largest are rounding errors of a float32 decomposition."""


@dataclass(frozen=True)
class Spectrum:
    """Leading eigenpairs of the item-item operator ``X^T X`` of the weighted interactions X.

    Attributes
    ----------
    eigenvalues : (r,) float64
        Descending, above 0.
    vectors : (I, r) float32
        Orthonormal columns.
    level : float
        Mean of all I eigenvalues, which is the mean squared length of the columns of X: what a ridge is measured by.
    """

    eigenvalues: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float32]
    level: float


def decomposed_rank(rank: int) -> int:
    """Say of how many columns the decomposition is that a filter of some rank takes its own from."""
    return _STEP * -(-rank // _STEP)


def decomposed_bytes(num_users: int, num_items: int, rank: int) -> int:
    """Count what a decomposition takes at its peak, beside the others that :class:`Spectra` keeps."""
    width = min(decomposed_rank(rank), num_users, num_items)
    # Three arrays on each side are alive at most. Freed ones stay with the process (memory.reuse_freed_memory), and
    # which of them fits the next array is a matter of chance: of many runs of one decomposition most took two to four
    # arrays a side, one took five.
    return 4 * width * (5 * (num_users + num_items) + (_KEPT - 1) * num_items)


class Spectra:
    """Decompositions of one graph, made when first asked for; the last few are kept.

    Filters that differ only in response or strength share one, and those whose ranks are rounded up alike
    (:data:`_STEP`). A larger one serves no smaller rank: what a filter is would depend on what was asked for before it,
    and change when a search is gone on with.

    Parameters
    ----------
    graph
        Of the fits.
    seed
        Of the randomised decomposition.
    lean
        Of no more columns than asked for, and without keeping freed memory for a next one: for a single use, a quarter
        of the time and memory of a rank of 128.
    """

    def __init__(self, graph: InteractionGraph, seed: int, *, lean: bool = False) -> None:
        self.graph = graph
        self.seed = seed
        self._lean = lean
        self._incidences: dict[str, Incidence] = {}
        self._known: OrderedDict[tuple[float, float, str, int], Spectrum] = OrderedDict()

    def incidence(self, edges: str) -> Incidence:
        """Give the interactions of the target event (``"target"``) or of every event (``"all"``)."""
        if edges not in self._incidences:
            chosen = self.graph.pattern(edges)
            self._incidences[edges] = Incidence(chosen)
        return self._incidences[edges]

    def of(self, user_power: float, item_power: float, edges: str, rank: int) -> Spectrum:
        """Decompose interactions weighed by powers of their degrees, or give what is known already.

        Parameters
        ----------
        user_power, item_power
            See :meth:`Incidence.weighted`.
        edges
            ``"target"`` or ``"all"``.
        rank
            At most so many eigenpairs; fewer where the matrix has no more.
        """
        width = rank if self._lean else decomposed_rank(rank)
        key = (user_power, item_power, edges, width)
        spectrum = self._known.pop(key, None)
        if spectrum is None:
            spectrum = self._decompose(user_power, item_power, edges, width)
        self._known[key] = spectrum
        leading = slice(0, min(rank, len(spectrum.eigenvalues)))
        return replace(spectrum, eigenvalues=spectrum.eigenvalues[leading], vectors=spectrum.vectors[:, leading])

    def _decompose(self, user_power: float, item_power: float, edges: str, rank: int) -> Spectrum:
        while len(self._known) >= _KEPT:
            self._known.popitem(last=False)
        matrix = self.incidence(edges).weighted(user_power, item_power)
        _, values, right = truncated_svd(matrix, rank, self.seed, reuse_memory=not self._lean)
        singular = values.numpy().astype(np.float64)
        # What lies in the null space moves no user of the fit, but would move newcomers at random.
        kept = max(int((singular > _NOISE * singular[0]).sum()), 1)
        level = float(np.square(matrix.values, dtype=np.float64).sum()) / matrix.pattern.num_columns
        return Spectrum(singular[:kept] ** 2, np.ascontiguousarray(right.numpy()[:, :kept]), level)
