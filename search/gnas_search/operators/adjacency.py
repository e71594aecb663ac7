"""Adjacency: the graph as one matrix, under each normalisation that an operator multiplies with."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from gnas_search.operators.spmm import CsrMatrix, CsrPattern

Floats = npt.NDArray[np.float32]


def normalised(interactions: sp.csr_matrix) -> CsrMatrix:
    """Divide the weight of each interaction by ``sqrt(user degree * item degree)``, sums of such weights: (U, I)."""
    pattern = CsrPattern(interactions.indptr, interactions.indices, interactions.shape[1])
    weights = _unequal(interactions.data)
    by_user = _degrees(pattern, weights)
    by_item = np.bincount(interactions.indices, weights=weights, minlength=interactions.shape[1]).astype(np.float64)
    by_item[by_item == 0.0] = 1.0
    user_scale, item_scale = ((1.0 / np.sqrt(degrees)).astype(np.float32) for degrees in (by_user, by_item))
    values = np.repeat(user_scale, np.diff(pattern.indptr)) * item_scale[pattern.indices]
    return CsrMatrix(pattern, values if weights is None else values * weights)


def _unequal(weights: Floats) -> Floats | None:
    """Give weights, or None where all are 1."""
    return None if bool((weights == 1.0).all()) else weights


def _degrees(pattern: CsrPattern, weights: Floats | None) -> npt.NDArray[np.float64]:
    """Sum the weights of each row; 1 for rows without an entry: (n,)."""
    counts = np.diff(pattern.indptr)
    if weights is None:
        return np.maximum(counts, 1).astype(np.float64)
    degrees = np.ones(len(counts))
    filled = np.flatnonzero(counts)
    degrees[filled] = np.add.reduceat(weights, pattern.indptr[filled], dtype=np.float64)
    return degrees


class Adjacency:
    """The graph as one symmetric matrix over U user nodes followed by I item nodes.

    Parameters
    ----------
    interactions : (U, I) CSR
        The edges between users and items; their values, above 0, are the edges' weights.
    links : (I, I) CSR, optional
        Edges between items, symmetric.
    averaging
        Whether :attr:`propagation` is the mean rather than the symmetric normalisation.
    """

    def __init__(
        self, interactions: sp.csr_matrix, *, links: sp.csr_matrix | None = None, averaging: bool = False
    ) -> None:
        self.num_users, self.num_items = (int(size) for size in interactions.shape)
        backwards = interactions.T.tocsr()
        if links is not None:
            backwards = sp.hstack([backwards, links], format="csr")
        indptr = np.concatenate([interactions.indptr, interactions.nnz + backwards.indptr[1:].astype(np.int64)])
        indices = np.concatenate([interactions.indices + self.num_users, backwards.indices])
        self.pattern = CsrPattern(indptr, indices, self.num_nodes)
        self.weights = _unequal(np.concatenate([interactions.data, backwards.data]))
        """Of each entry; None where all are 1."""
        self._averaging = averaging
        self._log_weights: dict[torch.device, Tensor] = {}

    @property
    def num_nodes(self) -> int:
        """U + I."""
        return self.num_users + self.num_items

    @cached_property
    def _degrees(self) -> npt.NDArray[np.float64]:
        return _degrees(self.pattern, self.weights)

    def _weighed(self, values: Floats) -> Floats:
        return values if self.weights is None else values * self.weights

    @property
    def propagation(self) -> CsrMatrix:
        """What operators that weigh messages by degrees multiply with: :attr:`symmetric`, or the mean."""
        return self.mean if self._averaging else self.symmetric

    @cached_property
    def symmetric(self) -> CsrMatrix:
        """The weight of each edge over ``sqrt(degree * degree)``, degrees being sums of weights."""
        scale = (self._degrees**-0.5).astype(np.float32)
        values = np.repeat(scale, np.diff(self.pattern.indptr)) * scale[self.pattern.indices]
        return CsrMatrix(self.pattern, self._weighed(values), symmetric=True)

    @cached_property
    def mean(self) -> CsrMatrix:
        """The weight of each edge over the degree of the node that receives: rows sum to 1."""
        share = (1.0 / self._degrees).astype(np.float32)
        values = self._weighed(np.repeat(share, np.diff(self.pattern.indptr)))
        return CsrMatrix(self.pattern, values, turned=self._weighed(share[self.pattern.indices]))

    @cached_property
    def sum(self) -> CsrMatrix:
        """The weight of each edge."""
        ones = np.ones(len(self.pattern.indices), dtype=np.float32)
        return CsrMatrix(self.pattern, self._weighed(ones), symmetric=True)

    def log_weights_on(self, device: torch.device) -> Tensor | None:
        """Give the logarithm of each entry's weight on a device, moved there once; None where all weigh 1."""
        if self.weights is None:
            return None
        if device not in self._log_weights:
            self._log_weights[device] = torch.from_numpy(np.log(self.weights)).to(device)
        return self._log_weights[device]
