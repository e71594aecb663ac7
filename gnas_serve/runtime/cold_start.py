"""Users without a vector: fold-in from a history, else popularity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.topk import top_k


def history_vector(vectors: npt.NDArray[np.float32], counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Summarise a history as one vector: what a symmetric-normalised graph layer sends to its user.

    Parameters
    ----------
    vectors : (h, d) float32
        Item vectors of the history.
    counts : (h,)
        How many users each of these items has.

    Returns
    -------
    (d + 1,) float32
        Sum of the vectors over the square roots of item and user degrees; then a constant 1.

    References
    ----------
    He et al. (2020), LightGCN, equation 3.
    """
    weights = 1.0 / np.sqrt(np.maximum(counts, 1) * max(len(counts), 1))
    summary = np.ones(vectors.shape[1] + 1, dtype=np.float32)
    summary[:-1] = weights.astype(np.float32) @ vectors
    return summary


class FoldIn:
    """A vector for a user who was not in training, from the items of a history.

    Parameters
    ----------
    matrix : (d + 1, d) float32
        Linear map from :func:`history_vector` to user vectors, fitted by ridge regression at export.
    items
        The shipped item vectors.
    counts : (I,) int32
    unit_length
        Whether user vectors have length 1 (cosine scorers).
    """

    def __init__(
        self,
        matrix: npt.NDArray[np.float32],
        items: EmbeddingTable,
        counts: npt.NDArray[np.int32],
        *,
        unit_length: bool,
    ) -> None:
        if matrix.shape != (items.dim + 1, items.dim):
            raise ValueError(f"fold-in matrix of shape {matrix.shape} for vectors of width {items.dim}")
        self._matrix = matrix
        self._items = items
        self._counts = counts
        self._unit_length = unit_length

    def vector(self, history: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Fold in a history of item rows, (d,)."""
        vector = history_vector(self._items.rows(history), self._counts[history]) @ self._matrix
        if self._unit_length:
            vector /= max(float(np.linalg.norm(vector)), 1e-12)
        return vector


class Popularity:
    """The answer for users of whom nothing is known.

    Parameters
    ----------
    counts : (I,) int32
        Interactions of the target event per item.
    """

    def __init__(self, counts: npt.NDArray[np.int32]) -> None:
        self._scores = np.log1p(counts).astype(np.float32)

    def retrieve(
        self, count: int, excluded: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Give the most popular rows and log(1 + interactions), best first, ties by the lower row."""
        scores = self._scores.copy()
        scores[excluded] = -np.inf
        rows = top_k(scores, count)
        return rows, scores[rows]
