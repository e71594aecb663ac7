"""Users without a vector: fold-in from a history, else popularity."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import POPULARITY, TWO_HOP, BranchFacts
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import is_among
from gnas_serve.runtime.topk import top_k


def history_weights(
    counts: npt.NDArray[np.integer], item_power: float, history_power: float
) -> npt.NDArray[np.float32]:
    """Weigh the items of a history.

    Parameters
    ----------
    counts : (h,)
        How many users each of these items has.
    item_power, history_power
        As in :class:`gnas_serve.artifact.branches.BranchFacts`.

    Returns
    -------
    (h,) float32
        ``counts ** -item_power / h ** history_power``.
    """
    raised = np.maximum(counts, 1).astype(np.float64) ** -item_power
    weights: npt.NDArray[np.float32] = (raised * max(len(counts), 1) ** -history_power).astype(np.float32)
    return weights


def history_vector(
    vectors: npt.NDArray[np.float32], counts: npt.NDArray[np.integer], item_power: float, history_power: float
) -> npt.NDArray[np.float32]:
    """Summarise a history as one vector; with powers of 1/2, what a symmetric-normalised graph layer sends to its user.

    Parameters
    ----------
    vectors : (h, d) float32
        Item vectors of the history.
    counts, item_power, history_power
        As for :func:`history_weights`.

    Returns
    -------
    (d + 1,) float32
        The weighted sum of the vectors; then a constant 1.

    References
    ----------
    He et al. (2020), LightGCN, equation 3.
    """
    summary = np.ones(vectors.shape[1] + 1, dtype=np.float32)
    summary[:-1] = history_weights(counts, item_power, history_power) @ vectors
    return summary


class FoldIn:
    """A vector for a user who was not in training, from the items of a history.

    Parameters
    ----------
    blocks : (sum of (d + 1) * d,) float32
        For every branch of d > 0 columns, in their order and row by row, the (d + 1, d) linear map from its
        :func:`history_vector` to user vectors: exact where the model has one, else fitted at export.
    items
        The shipped item vectors.
    counts : (I,) int32
    branches
        What the model is made of.

    Attributes
    ----------
    maps
        For every branch with columns: its facts, its columns and its map.
    """

    def __init__(
        self,
        blocks: npt.NDArray[np.float32],
        items: EmbeddingTable,
        counts: npt.NDArray[np.int32],
        branches: tuple[BranchFacts, ...],
    ) -> None:
        wide = [branch for branch in branches if branch.kind != TWO_HOP]
        sizes = [(branch.width + 1) * branch.width for branch in wide]
        if blocks.shape != (sum(sizes),):
            raise ValueError(f"fold-in maps of shape {blocks.shape}, expected ({sum(sizes)},)")
        if [span.stop - span.start for span in items.columns] != [branch.width for branch in wide]:
            raise ValueError(f"columns {items.columns} are not those of the branches")
        parts = np.split(blocks, np.cumsum(sizes)[:-1])
        self.maps = tuple(
            (branch, span, part.reshape(branch.width + 1, branch.width))
            for branch, span, part in zip(wide, items.columns, parts, strict=True)
        )
        self._items = items
        self._counts = counts

    def vector(self, history: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Fold in a history of item rows, (D,)."""
        vectors, counts = self._items.rows(history), self._counts[history]
        user = np.empty(self._items.dim, dtype=np.float32)
        for branch, span, matrix in self.maps:
            folded = history_vector(vectors[:, span], counts, branch.item_power, branch.history_power) @ matrix
            if branch.unit_length:
                folded /= max(float(np.linalg.norm(folded)), 1e-12)
            user[span] = folded
        return user

    def moved(
        self, vector: npt.NDArray[np.float32], before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float32]:
        """Move a user's own vector by what a longer history adds: by the difference of the two fold-ins.

        Where fold-in is exact (graph filters), so is this: it is the vector that the model would give the longer
        history. Elsewhere it keeps what a trained vector says beyond its history.

        Parameters
        ----------
        vector : (D,) float32
            Of a user with the history ``before``.
        before, after : (h,), (g,) distinct item rows

        Returns
        -------
        (D,) float32
            Of unit length in the columns of branches whose user vectors are.
        """
        user: npt.NDArray[np.float32] = vector + (self.vector(after) - self.vector(before))
        for branch, span, _ in self.maps:
            if branch.unit_length:
                user[span] /= max(float(np.linalg.norm(user[span])), 1e-12)
        return user


class Popularity:
    """The answer for users of whom nothing is known.

    Parameters
    ----------
    counts : (I,) int32
        Interactions of the target event per item.
    """

    source: ClassVar[str] = "popularity"
    """How such answers are said to be found."""

    def __init__(self, counts: npt.NDArray[np.int32]) -> None:
        self._scores = np.log1p(counts).astype(np.float32)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """The score of every item: (I,)."""
        return self._scores

    def retrieve(
        self,
        count: int,
        excluded: npt.NDArray[np.integer],
        allowed: npt.NDArray[np.int64] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Give the most popular rows and their scores, best first, ties by the lower row.

        Parameters
        ----------
        count
            How many.
        excluded, allowed : ascending item rows
            What may not be given, and what alone may be; everything where ``allowed`` is None.
        """
        if allowed is not None:
            rows = allowed[~is_among(allowed, excluded)]
            best = rows[top_k(self._scores[rows], count)]
            return best, self._scores[best]
        scores = self._scores.copy()
        scores[excluded] = -np.inf
        rows = top_k(scores, count)
        return rows, scores[rows]

    def parts(self, row: int) -> dict[str, float]:
        """Say what the score of one item adds up from: log(1 + interactions) alone."""
        return {POPULARITY: float(self._scores[row])}
