"""Projection: few columns that keep as much of wide vectors' scores as any can, for an index to search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SAMPLE_USERS = 10_000
_BLOCK_ROWS = 8192
# Directions in which users differ by less are noise of float32.
_RELATIVE_ZERO = 1e-7
# faiss compares 8-bit codes with vector instructions where this divides their width; else ten times slower.
_CODE_WIDTH = 16


@dataclass(frozen=True)
class Projection:
    """Two maps whose images have nearly the inner products of the vectors.

    Attributes
    ----------
    queries : (D, r) float32
        For user vectors; ships, unless the index is over the vectors as they are.
    items : (D, r) float32
        For item vectors.
    """

    queries: Floats
    items: Floats

    @property
    def dims(self) -> int:
        """Width r of the images."""
        return int(self.queries.shape[1])


def padding(dim: int) -> Projection | None:
    """Add columns of zeros where codes of the width ``dim`` would be slow to compare; None where they are not."""
    wide = -(-dim // _CODE_WIDTH) * _CODE_WIDTH
    if wide == dim:
        return None
    eye = np.eye(dim, wide, dtype=np.float32)
    return Projection(eye, eye)


def best_projection(user_vectors: Floats, item_vectors: Floats, dims: int) -> Projection:
    """Find the maps whose products are nearest to all scores, in the least squares over users and items.

    With U = Q R and V = P S (Q, P orthonormal) the scores are Q (R S') P', so their best approximation of a rank comes
    from a matrix of D x D alone; R and S' from the Gram matrices of U and V. Item images carry all of the scale: two
    items lie as far apart as users score them apart, which is what the lists of an index shall gather.

    Parameters
    ----------
    user_vectors : (n, D) float32
        Of real users, a sample is enough.
    item_vectors : (I, D) float32
    dims
        r, less than D.

    References
    ----------
    Eckart and Young, "The approximation of one matrix by another of lower rank", Psychometrika 1936.
    """
    # On one thread: sums in one order, so equal vectors give equal bytes on any number of cores.
    with threadpool_limits(1):
        users, items = _gram(user_vectors), _gram(item_vectors)  # (D, D)
        spread, axes = np.linalg.eigh(users)
        used = spread > _RELATIVE_ZERO * max(float(spread[-1]), 1e-30)
        lengths = np.sqrt(np.where(used, spread, 0.0))
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=used)
        root = lengths[:, None] * axes.T  # R: R' R = U' U
        directions = np.linalg.eigh(root @ items @ root.T)[1][:, ::-1][:, :dims]  # (D, r), heaviest first
        queries, targets = axes @ (inverse[:, None] * directions), root.T @ directions
    return Projection(np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(targets, np.float32))


def _gram(vectors: Floats) -> Doubles:
    """Sum the products of columns: float32 within a block, float64 across blocks."""
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        total += block.T @ block
    return total / max(len(vectors), 1)
