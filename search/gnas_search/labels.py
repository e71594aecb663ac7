"""Labelled pairs: what a user took, and what the user did not, for metrics of single pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
RATED_LOW, SAMPLED = "rated_low", "sampled"


@dataclass(frozen=True)
class LabelledPairs:
    """Some items of some users, each with a label.

    Attributes
    ----------
    users : (p,) int64
        Places among the n users, ascending.
    items : (p,) int64
        Item rows.
    labels : (p,) bool
    num_users
        n.
    """

    users: Rows
    items: Rows
    labels: npt.NDArray[np.bool_]
    num_users: int

    def span(self, start: int, stop: int) -> slice:
        """Find the pairs of the users from one place up to another."""
        first, last = np.searchsorted(self.users, (start, stop))
        return slice(int(first), int(last))

    def weights(self) -> Values:
        """Weigh the pairs so that all users count alike: (p,)."""
        shares: Values = 1.0 / np.bincount(self.users, minlength=self.num_users)[self.users]
        return shares

    def per_user(self, values: Values) -> Values:
        """Average values of pairs user by user: (n,), NaN for users without a pair."""
        counts = np.bincount(self.users, minlength=self.num_users)
        sums = np.bincount(self.users, weights=values, minlength=self.num_users)
        means: Values = np.divide(sums, counts, out=np.full(self.num_users, np.nan), where=counts > 0)
        return means


def rated_low(relevant: sp.csr_matrix, negatives: sp.csr_matrix) -> LabelledPairs:
    """Label what was held out: relevant items, and items of the same part that were rated too low to be positives.

    Parameters
    ----------
    relevant, negatives : (n, I) CSR
        Disjoint.
    """
    return _joined([part.nonzero() for part in (relevant, negatives)], relevant.shape[0])


def sampled(relevant: sp.csr_matrix, masked: sp.csr_matrix, *, seed: int, keys: Rows) -> LabelledPairs:
    """Label relevant items, and as many others of each user, drawn uniformly from those the user is not known to have.

    Parameters
    ----------
    relevant, masked : (n, I) CSR
        Held-out items, and those of training.
    seed
        Of the draw.
    keys : (n,)
        A number of each user, at least 0: a draw depends on the seed, this number and the user's own items alone.

    Notes
    -----
    Without replacement, and fewer where a user has not as many items left. Uniform negatives are mostly unpopular,
    which makes the task easier than the ranking of all items (Krichene and Rendle 2020): what is measured on them
    compares models, and says little of the quality of lists.

    References
    ----------
    Krichene, W. and Rendle, S. (2020). On sampled metrics for item recommendation. KDD.
    """
    num_users, num_items = relevant.shape
    users, items = [], []
    for place, key in enumerate(keys.tolist()):
        wanted = relevant.indices[relevant.indptr[place] : relevant.indptr[place + 1]]
        if len(wanted) == 0:
            continue
        is_free = np.ones(num_items, dtype=np.bool_)
        is_free[wanted] = False
        is_free[masked.indices[masked.indptr[place] : masked.indptr[place + 1]]] = False
        free = np.flatnonzero(is_free)
        drawn = np.random.default_rng((seed, key)).choice(free, min(len(wanted), len(free)), replace=False)
        users.append(np.full(len(drawn), place, dtype=np.int64))
        items.append(drawn)
    nothing = np.empty(0, dtype=np.int64)
    drawn_pairs = (np.concatenate([nothing, *users]), np.concatenate([nothing, *items]))
    return _joined([relevant.nonzero(), drawn_pairs], num_users)


def _joined(parts: list[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]], num_users: int) -> LabelledPairs:
    """Put positives and negatives together, by user and item."""
    users, items = (np.concatenate([part[side] for part in parts]).astype(np.int64) for side in (0, 1))
    labels = np.arange(len(users)) < len(parts[0][0])
    order = np.lexsort((items, users))
    return LabelledPairs(users[order], items[order], labels[order], num_users)
