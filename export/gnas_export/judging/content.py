"""What the content encoder is worth: items left out of it, which users who wanted them are to be shown first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.judging.left_out import FOLDS, MOST_ITEMS, DividedItems, Wanting, left_out, wanting
from gnas_export.judging.quality import K
from gnas_export.retrieval.content import ContentTerms, Rows, told_of
from gnas_export.retrieval.shipped import ShippedFit
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.runtime.asker import Asker, Askers
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.content_encoder import ContentEncoder
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import is_among

Floats = npt.NDArray[np.float64]

MOST_USERS = 1000
"""Of each fold, by whom an encoder is judged; half as many choose it."""
_MOST_KNOWN = 20_000  # that a choice is made among: similarities of all others are too many to hold
_MOST_COSINES = 60_000_000  # of one fold and all columns: 240 MB
_NOTHING = np.empty(0, dtype=np.int64)


def ndcg_of(scores: Floats, wanted: npt.NDArray[np.bool_], barred: npt.NDArray[np.bool_]) -> Floats:
    """Measure ndcg@20 of lists of left-out items, (n,); NaN of users who want none."""
    order = np.argsort(-np.where(barred, -np.inf, scores), axis=1, kind="stable")[:, :K]
    discounts = 1.0 / np.log2(np.arange(order.shape[1]) + 2.0)
    gains = (np.take_along_axis(wanted, order, axis=1) * discounts).sum(axis=1)
    counts = wanted.sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(np.maximum(counts, 1), len(discounts)) - 1]
    return np.where(counts > 0, gains / ideal, np.nan)


@dataclass
class Trial:
    """One fold with all that a choice needs: cosines column by column, and scores of users."""

    cosines: list[npt.NDArray[np.float32]]  # of (L, known)
    has: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]  # whether left-out and known items have any
    scores: npt.NDArray[np.float32]  # (n, known)
    history: sp.csr_matrix  # (n, known)
    wanting: Wanting

    def measured(
        self, weights: Sequence[float], neighbours: int, power: float, rest: Sequence[tuple[float, float]]
    ) -> list[float]:
        """Measure pairs of prior and own, (len(rest),): the mean ndcg@20 of this fold."""
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
        shares = np.maximum(np.take_along_axis(total, nearest, axis=1), 0.0).astype(np.float64) ** power
        places = (np.repeat(np.arange(len(total)), count), nearest.ravel())
        leaning = sp.csr_matrix((shares.ravel(), places), shape=total.shape)
        liked = np.asarray(leaning @ self.scores.T).T
        own = np.asarray((self.history @ leaning.T).toarray())
        sums = shares.sum(axis=1)
        mean = self.scores.mean(axis=1, dtype=np.float64)[:, None]
        spread = self.scores.std(axis=1, dtype=np.float64)[:, None]
        found = []
        for prior, likes in rest:
            scores = (liked + likes * spread * own + prior * mean) / np.maximum(sums + prior, 1e-12)
            found.append(float(np.nanmean(ndcg_of(scores, self.wanting.wanted, self.wanting.barred))))
        return found


def trials(
    terms: ContentTerms, fit: ShippedFit, users: Rows, valid: sp.csr_matrix, askers: Askers, seed: int
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
    retriever = fit.retriever()
    found: list[Trial] = []
    for fold in left_out(choosing, known, seed, most):
        asking = wanting(fold, users, valid, fit, askers, MOST_USERS // 2, rng)
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
        found.append(Trial(cosines, has, scores, own, asking))
    return found


@dataclass(frozen=True)
class JudgedContent:
    """How users who judge were shown what they wanted, one number of each.

    Attributes
    ----------
    encoder, popularity, chance : (n,) ndcg@20
        By the encoder; by popularity as the attributes tell it; by chance.
    items
        How many were left out in all.
    """

    encoder: Floats
    popularity: Floats
    chance: Floats
    items: int


def judged_content(
    facts: ContentFacts,
    terms: ContentTerms,
    attributes: Attributes,
    fit: ShippedFit,
    users: Rows,
    valid: sp.csr_matrix,
    askers: Askers,
    seed: int,
) -> JudgedContent:
    """Have items that did not choose left out and scored by the code that serves, for users who judge.

    Parameters
    ----------
    terms
        With the weights of the facts.
    """
    retriever, popularity = fit.retriever(), np.log1p(fit.counts).astype(np.float32)
    rng = np.random.default_rng(seed)
    sums: dict[int, list[tuple[float, float, float]]] = {}
    folds = left_out(DividedItems.of(fit.counts, seed).judging, np.flatnonzero(fit.counts > 0), seed)
    for fold in folds:
        asking = wanting(fold, users, valid, fit, askers, MOST_USERS, rng)
        if asking is None:
            continue
        counts = np.zeros_like(fit.counts)
        counts[fold.known] = fit.counts[fold.known]
        encoder = ContentEncoder(facts, terms.table(fold.known), counts)
        leans = [encoder.lean(told_of(attributes, row)) for row in fold.items.tolist()]
        usable = [place for place, lean in enumerate(leans) if lean is not None]
        if not usable:
            continue
        leaning = encoder.leaning([lean for lean in leans if lean is not None])
        told = leaning.liked(lambda rows: popularity[rows], _NOTHING).scores
        for place, (asker, row) in enumerate(zip(asking.askers, asking.users.tolist(), strict=True)):
            one = leaning.liked(_scored_by(retriever, asker), asker.history).scores
            ranked = np.full((3, len(leans)), -1e30)
            ranked[0, usable], ranked[1, usable], ranked[2] = one, told, rng.random(len(leans))
            wanted, barred = asking.wanted[place], asking.barred[place]
            found = ndcg_of(ranked, np.tile(wanted, (3, 1)), np.tile(barred, (3, 1)))
            if not np.isnan(found).any():
                sums.setdefault(row, []).append((float(found[0]), float(found[1]), float(found[2])))
    means = np.array([np.mean(sums[row], axis=0) for row in sorted(sums)]).reshape(-1, 3)
    return JudgedContent(means[:, 0], means[:, 1], means[:, 2], sum(len(fold.items) for fold in folds))


def _scored_by(retriever: Retriever, asker: Asker) -> Callable[[Rows], npt.NDArray[np.float32]]:
    return lambda rows: retriever.scores(asker.vector, asker.history, rows)
