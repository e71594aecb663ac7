"""Evidence: what metrics are computed from, whoever asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.labels import LabelledPairs
from gnas_search.metrics import Ranked, ranked

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """What lists are compared with that hold no relevant item.

    Attributes
    ----------
    counts : (I,)
        Interactions of each item in training.
    num_users
        In training.
    features : (I, F), optional
        Attributes of the items.
    """

    counts: npt.NDArray[np.integer]
    num_users: int
    features: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Evidence:
    """What is known of one model's answers to n users; a measure needs some of it.

    Attributes
    ----------
    lists : n arrays of item rows, best first
    relevant : (n, I) CSR
    catalogue
    num_relevant : (n,), optional
        All relevant items, where some have no row.
    shares : (nnz,), optional
        The :func:`~gnas_search.pointwise.percentiles` of ``relevant``: needed for ``auc``.
    pairs, margins : optional
        Labelled pairs and their calibrated log-odds, (p,): needed for ``log_loss`` and ``accuracy``.
    """

    lists: Sequence[npt.NDArray[np.integer]]
    relevant: sp.csr_matrix
    catalogue: Catalogue
    num_relevant: npt.NDArray[np.integer] | None = None
    shares: Values | None = None
    pairs: LabelledPairs | None = None
    margins: Values | None = None
    _ranked: dict[int, Ranked] = field(default_factory=dict, init=False, repr=False, compare=False)

    def ranked(self, k: int) -> Ranked:
        """Find the relevant items within the best k; once for all measures."""
        if k not in self._ranked:
            self._ranked[k] = ranked(self.lists, self.relevant, self.num_relevant, k)
        return self._ranked[k]
