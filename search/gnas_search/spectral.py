"""Truncated SVD of the normalised interaction matrix: a baseline, and where graph models start from."""

from __future__ import annotations

import torch
from torch import Tensor

from gnas_search.operators.spmm import CsrMatrix

_OVERSAMPLING = 16
_POWER_ITERATIONS = 3


def truncated_svd(matrix: CsrMatrix, rank: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate the leading singular triplets by randomised subspace iteration.

    Parameters
    ----------
    matrix
        (U, I).
    rank
        At most ``min(U, I)`` triplets are given.
    seed
        Of the random start.

    Returns
    -------
    left : (U, r)
    values : (r,)
        Descending.
    right : (I, r)

    References
    ----------
    Halko, N., Martinsson, P. G. and Tropp, J. A. (2011). Finding structure with randomness. SIAM Review 53(2).
    """
    num_users, num_items = matrix.pattern.num_rows, matrix.pattern.num_columns
    kept = min(rank, num_users, num_items)
    width = min(kept + _OVERSAMPLING, num_users, num_items)
    start = torch.randn((num_items, width), generator=torch.Generator().manual_seed(seed))
    basis = torch.linalg.qr(matrix.multiply(start)).Q  # (U, width)
    for _ in range(_POWER_ITERATIONS):
        basis = torch.linalg.qr(matrix.transposed.multiply(basis)).Q  # (I, width)
        basis = torch.linalg.qr(matrix.multiply(basis)).Q  # (U, width)
    projected = matrix.transposed.multiply(basis)  # (I, width)
    right, values, mixed = torch.linalg.svd(projected, full_matrices=False)
    left = basis @ mixed.T
    return left[:, :kept].contiguous(), values[:kept], right[:, :kept].contiguous()
