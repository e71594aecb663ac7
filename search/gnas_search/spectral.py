"""Truncated SVD of the normalised interaction matrix: a baseline, and where graph models start from."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from gnas_search.memory import reuse_freed_memory

OVERSAMPLING = 16
"""Columns that a decomposition carries beside those asked for."""
_POWER_ITERATIONS = 3
PRODUCTS = 2 + 2 * _POWER_ITERATIONS
"""With the matrix, or its transpose, in a decomposition."""
_ILL_CONDITIONED = 1e-5
"""Smallest eigenvalue over the largest below which a Gram matrix in float32 says too little about its vectors."""


class LinearMap(Protocol):
    """A matrix known by its products alone: a sparse one, or a sum of several."""

    @property
    def num_rows(self) -> int:
        """U."""

    @property
    def num_columns(self) -> int:
        """I."""

    @property
    def transposed(self) -> LinearMap:
        """The transposed matrix."""

    def multiply(self, dense: Tensor) -> Tensor:
        """Multiply (I, k) from the left: (U, k)."""


def truncated_svd(
    matrix: LinearMap, rank: int, seed: int, *, reuse_memory: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate the leading singular triplets by randomised subspace iteration.

    Parameters
    ----------
    matrix
        (U, I).
    rank
        At most ``min(U, I)`` triplets are given.
    seed
        Of the random start.
    reuse_memory
        Let the process keep what is freed, for the next arrays: quicker where there will be many, and a peak that is a
        matter of chance, see :func:`~gnas_search.closed_form.spectra.decomposed_bytes`.

    Returns
    -------
    left : (U, r)
    values : (r,)
        Descending.
    right : (I, r)

    References
    ----------
    Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness. SIAM Review 53(2).
    Fukaya, T. et al. (2014). CholeskyQR2: a simple and communication-avoiding algorithm. ScalA.
    """
    num_users, num_items = matrix.num_rows, matrix.num_columns
    if num_users > num_items:  # the basis lies on the smaller side
        right, values, left = truncated_svd(matrix.transposed, rank, seed, reuse_memory=reuse_memory)
        return left, values, right
    if reuse_memory:
        reuse_freed_memory()
    kept = min(rank, num_users)
    width = min(kept + OVERSAMPLING, num_users)
    basis = torch.randn((num_items, width), generator=torch.Generator().manual_seed(seed))
    basis = _orthonormal(matrix.multiply(basis))  # (U, width)
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(matrix.multiply(matrix.transposed.multiply(basis)))
    basis = _orthonormal(basis)  # a second pass: the first is exact but for the condition number squared
    projected = matrix.transposed.multiply(basis)  # (I, width)
    energies, mixed = torch.linalg.eigh(projected.T @ projected)
    if not energies[0] > _ILL_CONDITIONED * energies[-1]:
        right, values, turned = torch.linalg.svd(projected, full_matrices=False)
        return (basis @ turned.T)[:, :kept].contiguous(), values[:kept], right[:, :kept].contiguous()
    mixed = mixed.flip(1)[:, :kept].contiguous()
    values = energies.flip(0)[:kept].sqrt()
    return basis @ mixed, values, (projected @ mixed).div_(values)


def _orthonormal(vectors: Tensor) -> Tensor:
    """Span the same space by orthonormal columns: (n, k) -> (n, k).

    From the Cholesky factor of the Gram matrix, which is all large products and several times as fast as Householder
    QR; that one takes over where the columns are too nearly dependent.
    """
    gram = vectors.T @ vectors
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal()
    if int(failed) or not float(pivots.min()) ** 2 > _ILL_CONDITIONED * float(pivots.max()) ** 2:
        orthonormal: Tensor = torch.linalg.qr(vectors).Q
        return orthonormal
    identity = torch.eye(len(gram))
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return vectors @ inverse.T
