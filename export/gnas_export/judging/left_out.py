"""Items that are left out as if nobody had them, and the users who want some of them: one division of all items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.judging.quality import K
from gnas_export.retrieval.content import Rows
from gnas_export.retrieval.shipped import ShippedFit
from gnas_serve.runtime.asker import Asker, Askers
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.seen import is_among

FOLDS = 5
"""At most: of few items, fewer."""
MOST_ITEMS = 1000
"""Left out of all folds together where it is chosen, and where it is judged."""
LAST = -1e30
"""The score of an item of which nothing is told that a known one has: serving puts these last."""
_LIST = 100  # items that a fold has where there are enough: of twenty, any order has the right ones in the first twenty
Floats = npt.NDArray[np.float64]
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class DividedItems:
    """The items that somebody has, each on one of two sides.

    Attributes
    ----------
    choosing, judging : ascending item rows
        Which are left out to choose an encoder, and to judge what was chosen.
    """

    choosing: Rows
    judging: Rows

    @classmethod
    def of(cls, counts: npt.NDArray[np.integer], seed: int) -> DividedItems:
        """Draw one half to choose by; the other judges."""
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(counts > 0))
        middle = (len(drawn) + 1) // 2
        return cls(np.sort(drawn[:middle]), np.sort(drawn[middle:]))


@dataclass(frozen=True)
class LeftOut:
    """One fold: items as if nobody had them, and the others, which they may lean on."""

    items: Rows
    known: Rows


def left_out(items: Rows, known: Rows, seed: int, most: int = MOST_ITEMS) -> list[LeftOut]:
    """Divide items into folds, of which at most so many items are looked at in all.

    Parameters
    ----------
    items
        Each is left out once, unless they are too many.
    known : ascending item rows
        Those of them that a fold leaves out are none of its known ones.
    """
    folds = min(FOLDS, max(2, len(items) // _LIST))
    found: list[LeftOut] = []
    for fold in np.array_split(np.random.default_rng(seed).permutation(items), folds):
        if len(fold):
            out = np.sort(fold[: max(1, most // folds)])
            found.append(LeftOut(out, known[~is_among(known, out)]))
    return found


@dataclass(frozen=True)
class UsersWithout:
    """Represents users as if they did not have what is left out.

    Attributes
    ----------
    askers
        As serving makes them of the fit.
    folds_in
        Whether newcomers are answered by fold-in: then a user is one, with what else they have. Otherwise the trained
        vector is taken, which has learned from what is left out as well.
    """

    askers: Askers
    folds_in: bool

    @classmethod
    def of(cls, fit: ShippedFit, *, folds_in: bool) -> UsersWithout:
        """Represent users by a fit."""
        branches = tuple(branch.facts for branch in fit.exact.branches)
        fold_in = FoldIn(fit.fold_in, fit.tables.items, fit.counts, branches)
        return cls(Askers(branches, fit.tables.users, fold_in, fit.tables.neighbours, folds_in=folds_in), folds_in)

    def represent(self, user_row: int, past: Rows, out: Rows) -> Asker | None:
        """Find what the model knows of a user without some ascending rows; None where that is nothing."""
        kept = past[~is_among(past, out)]
        if not len(kept):
            return None
        if self.folds_in:
            return self.askers.represent(-1, _NOTHING, kept)
        return self.askers.represent(user_row, kept, _NOTHING)


@dataclass(frozen=True)
class Wanting:
    """Users who want one of some left-out items.

    Attributes
    ----------
    askers
        As the model sees them without what is left out.
    users : (n,) user rows
    wanted, barred : (n, L)
        What each wants, and has already.
    """

    askers: list[Asker]
    users: Rows
    wanted: npt.NDArray[np.bool_]
    barred: npt.NDArray[np.bool_]


def wanting(
    fold: LeftOut,
    users: Rows,
    valid: sp.csr_matrix,
    fit: ShippedFit,
    without: UsersWithout,
    most: int,
    rng: np.random.Generator,
) -> Wanting | None:
    """Draw at most so many of the users who want something that a fold leaves out; None where nobody does."""
    # Of the rows alone, at first: users times items are many.
    wanted = valid[users][:, fold.items]
    found: list[Asker] = []
    kept: list[int] = []
    barred: list[npt.NDArray[np.bool_]] = []
    for row in rng.permutation(users[np.diff(wanted.indptr) > 0]).tolist():
        past = fit.seen.of(row).astype(np.int64)
        asker = without.represent(row, past, fold.items)
        if asker is not None:
            found.append(asker)
            kept.append(row)
            barred.append(is_among(fold.items, past))
            if len(found) == most:
                break
    if not found:
        return None
    rows = np.array(kept, dtype=np.int64)
    masks = np.stack(barred)
    return Wanting(found, rows, np.asarray(valid[rows][:, fold.items].toarray() > 0) & ~masks, masks)


def ndcg_of(scores: Floats, wanted: npt.NDArray[np.bool_], barred: npt.NDArray[np.bool_]) -> Floats:
    """Measure ndcg@20 of lists of left-out items, (n,); NaN of users who want none."""
    order = np.argsort(-np.where(barred, -np.inf, scores), axis=1, kind="stable")[:, :K]
    discounts = 1.0 / np.log2(np.arange(order.shape[1]) + 2.0)
    gains = (np.take_along_axis(wanted, order, axis=1) * discounts).sum(axis=1)
    counts = wanted.sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(np.maximum(counts, 1), len(discounts)) - 1]
    return np.where(counts > 0, gains / ideal, np.nan)
