"""Compress a whole blend into one pair of vectors per user and item."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnas_search.fit import Branch, Fit
from gnas_search.spectral import truncated_svd
from gnas_serve.artifact.branches import COMPRESSED, BranchFacts


def compress(fit: Fit, histories: sp.csr_matrix, dims: int, *, name: str, seed: int) -> Fit:
    """Approximate the scores of a fit by inner products of short vectors: the truncated SVD of its score matrix.

    The matrix is never formed: a randomised SVD needs its products with thin matrices alone.

    Parameters
    ----------
    fit
        Any sum of branches.
    histories : (U, I) CSR
        The interactions that it was made from.
    dims
        Width of the vectors.
    name
        Of the model.
    seed
        Of the random start.

    Returns
    -------
    Fit
        One ``compressed`` branch, whose fold-in is left to export. Users of whom the fit knows nothing have vectors of
        zeros: what is popular is not in them as if it were their taste.

    References
    ----------
    Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness. SIAM Review 53(2).
    """
    left, values, right = truncated_svd(_Scores(fit, histories), dims, seed)
    root = values.clamp_min(0.0).sqrt()
    users, items = (left * root).numpy(), (right * root).numpy()
    users[~fit.knows(histories)] = 0.0
    facts = BranchFacts(name, COMPRESSED, users.shape[1])
    return Fit((Branch(facts, users, items),), fit.epochs)


class _Scores:
    """The (U, I) scores of a fit, as a linear map."""

    def __init__(self, fit: Fit, histories: sp.csr_matrix, *, turned: bool = False) -> None:
        self._fit = fit
        self._histories = histories
        self._turned = turned

    @property
    def num_rows(self) -> int:
        return int(self._histories.shape[1 if self._turned else 0])

    @property
    def num_columns(self) -> int:
        return int(self._histories.shape[0 if self._turned else 1])

    @cached_property
    def transposed(self) -> _Scores:
        return _Scores(self._fit, self._histories, turned=not self._turned)

    def multiply(self, dense: Tensor) -> Tensor:
        users, items = self._fit.user_vectors, self._fit.item_vectors
        x = dense.numpy()
        if self._turned:
            users, items = items, users
        product = users @ (items.T @ x)
        two_hop = self._fit.two_hop
        if two_hop is not None and two_hop.neighbours is not None:
            lengths = np.maximum(np.diff(self._histories.indptr), 1)
            scale = (lengths**-two_hop.facts.history_power).astype(np.float32)[:, None]
            if self._turned:
                product = product + two_hop.neighbours.T @ (self._histories.T @ (scale * x))
            else:
                product = product + scale * (self._histories @ (two_hop.neighbours @ x))
        return torch.from_numpy(np.ascontiguousarray(product, dtype=np.float32))
