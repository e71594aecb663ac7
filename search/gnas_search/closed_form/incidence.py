"""Incidence: who interacted with what, and the powers of its degrees that closed forms weigh it by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from gnas_search.operators.spmm import CsrMatrix, CsrPattern

Floats = npt.NDArray[np.float32]
Degrees = npt.NDArray[np.float64]


class Incidence:
    """The interactions of a graph with their degrees.

    Parameters
    ----------
    interactions : (U, I) CSR
        Sorted; only the pattern counts.

    Attributes
    ----------
    pattern
        (U, I).
    by_user : (U,) float64
        Items of each user, at least 1.
    by_item : (I,) float64
        Users of each item, at least 1.
    """

    def __init__(self, interactions: sp.csr_matrix) -> None:
        num_items = int(interactions.shape[1])
        self.pattern = CsrPattern(interactions.indptr, interactions.indices, num_items)
        self.by_user: Degrees = np.maximum(np.diff(interactions.indptr), 1).astype(np.float64)
        self.by_item: Degrees = np.maximum(np.bincount(interactions.indices, minlength=num_items), 1).astype(np.float64)

    def weighted(self, user_power: float, item_power: float) -> CsrMatrix:
        """Weigh each interaction by ``user degree ** -user_power * item degree ** -item_power``: (U, I)."""
        by_user, by_item = self.by_user**-user_power, self.by_item**-item_power
        values = by_user[self.pattern.rows.numpy()] * by_item[self.pattern.indices]
        return CsrMatrix(self.pattern, values.astype(np.float32))

    def multiplied(self, user_power: float, item_power: float, items: Floats) -> Floats:
        """Sum item vectors over each user's interactions weighed as in :meth:`weighted`: (I, d) -> (U, d)."""
        summed: Floats = self.weighted(user_power, item_power).multiply(torch.from_numpy(items)).numpy()
        return summed
