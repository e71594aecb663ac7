"""Folds of left-out items by which a content encoder is chosen: many encoders, measured without being built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.judging.left_out import (
    FOLDS,
    LAST,
    MOST_ITEMS,
    DividedItems,
    Floats,
    UsersWithout,
    Wanting,
    left_out,
    ndcg_of,
    wanting,
)
from gnas_export.retrieval.content import ContentTerms, Rows
from gnas_export.retrieval.shipped import ShippedFit
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.seen import is_among

MOST_USERS = 500
"""Of each fold, who choose."""
_MOST_KNOWN = 20_000  # that a choice is made among: similarities of all others are too many to hold
_MOST_COSINES = 60_000_000  # of one fold and all columns: 240 MB


@dataclass
class Trial:
    """One fold with all that a choice needs.

    It lists items as :class:`gnas_serve.runtime.content_encoder.ContentEncoder` does, but for three things: an asker's
    average is that of all known items, not of some; long texts are not cut; and of very many items some are known.

    Attributes
    ----------
    cosines
        Of left-out and known items, column by column, (L, known).
    has
        Column by column, whether left-out items, (L,), and known ones, (known,), have any of its terms.
    scores : (n, known)
        Of the users.
    popularity : (known,)
        Of the known items, as serving scores it.
    history : (n, known) CSR
        Ones where a user has an item.
    asking
        The users, and what they want.
    """

    cosines: list[npt.NDArray[np.float32]]
    has: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
    scores: npt.NDArray[np.float32]
    popularity: npt.NDArray[np.float32]
    history: sp.csr_matrix
    asking: Wanting

    def by_popularity(self) -> Trial:
        """Give the same fold, of which everybody thinks what is popular among the known items."""
        return replace(self, scores=np.broadcast_to(self.popularity, self.scores.shape))

    def listed(
        self, weights: Sequence[float], neighbours: int, power: float, rest: Sequence[tuple[float, float]]
    ) -> list[Floats]:
        """Score the left-out items for each pair of prior and own: (n, L), :data:`LAST` where nothing is told."""
        squares = [np.float32(weight * weight) for weight in weights]
        total = np.zeros_like(self.cosines[0])
        left, known = np.zeros(total.shape[0], np.float32), np.zeros(total.shape[1], np.float32)
        for square, cosines, (has_left, has_known) in zip(squares, self.cosines, self.has, strict=True):
            if square:
                total += square * cosines
                left += square * has_left
                known += square * has_known
        total /= np.sqrt(np.maximum(left, 1e-12))[:, None]
        total /= np.sqrt(np.maximum(known, 1e-12))
        count = min(neighbours, total.shape[1])
        nearest = np.argpartition(-total, count - 1, axis=1)[:, :count]
        cosines_of_nearest = np.maximum(np.take_along_axis(total, nearest, axis=1), 0.0)
        shares = cosines_of_nearest.astype(np.float64) ** power
        places = (np.repeat(np.arange(len(total)), count), nearest.ravel())
        leaning = sp.csr_matrix((shares.ravel(), places), shape=total.shape)
        liked = np.asarray(leaning @ self.scores.T).T
        own = np.asarray((self.history @ leaning.T).toarray())
        sums, told = shares.sum(axis=1), cosines_of_nearest.any(axis=1)
        mean = self.scores.mean(axis=1, dtype=np.float64)[:, None]
        spread = self.scores.std(axis=1, dtype=np.float64)[:, None]
        return [
            np.where(told, (liked + likes * spread * own + prior * mean) / np.maximum(sums + prior, 1e-12), LAST)
            for prior, likes in rest
        ]

    def measured(
        self, weights: Sequence[float], neighbours: int, power: float, rest: Sequence[tuple[float, float]]
    ) -> list[float]:
        """Measure pairs of prior and own, (len(rest),): the mean ndcg@20 of this fold."""
        lists = self.listed(weights, neighbours, power, rest)
        return [float(np.nanmean(ndcg_of(scores, self.asking.wanted, self.asking.barred))) for scores in lists]


def trials(
    terms: ContentTerms, fit: ShippedFit, users: Rows, valid: sp.csr_matrix, without: UsersWithout, seed: int
) -> list[Trial]:
    """Prepare the folds by which an encoder is chosen: those of the items that do not judge it.

    Parameters
    ----------
    fit
        The selection fit.
    users
        With an item in validation, who do not judge.
    """
    rng = np.random.default_rng(seed)
    known = np.sort(rng.permutation(np.flatnonzero(fit.counts > 0))[:_MOST_KNOWN])
    choosing = DividedItems.of(fit.counts, seed).choosing
    most = min(MOST_ITEMS, FOLDS * _MOST_COSINES // max(1, len(known) * len(terms.columns)))
    retriever, popularity = fit.retriever(), Popularity(fit.counts).scores
    found: list[Trial] = []
    for fold in left_out(choosing, known, seed, most):
        asking = wanting(fold, users, valid, fit, without, MOST_USERS, rng)
        if asking is None or not asking.wanted.any():
            continue
        units, rarities = terms.units(fold.known)
        cosines, has = [], []
        for unit, rarity, matrix in zip(units, rarities, terms.matrices, strict=True):
            asked = matrix[fold.items] @ sp.diags(rarity.astype(np.float64))
            lengths = np.sqrt(np.asarray(asked.multiply(asked).sum(axis=1), dtype=np.float64).ravel())
            cosine = np.asarray((asked @ unit.T).todense(), dtype=np.float64)
            cosine = np.divide(cosine, lengths[:, None], out=np.zeros_like(cosine), where=lengths[:, None] > 0)
            cosines.append(cosine.astype(np.float32))
            has.append(((lengths > 0).astype(np.float32), (np.diff(unit.indptr) > 0).astype(np.float32)))
        scores = np.stack([retriever.scores(one.vector, one.history, fold.known) for one in asking.askers])
        own = sp.csr_matrix(np.stack([is_among(fold.known, one.history) for one in asking.askers]).astype(np.float64))
        found.append(Trial(cosines, has, scores, popularity[fold.known], own, asking))
    return found
