"""Ranking metrics, fixed here for the whole product.

All items are ranked and the user's training items are masked. With the best k as the list, every metric is a value per
user with at least one relevant item, and its mean over these users:

- ``recall@k``: hits divided by the number of relevant items (not by ``min(k, .)``);
- ``precision@k``: hits divided by k, however long the list is;
- ``f1@k``: the harmonic mean of the two, 0 where there is no hit;
- ``ndcg@k``: a hit at rank r (from 1) gains ``1 / log2(r + 1)``; divided by the gain of ``min(relevant, k)`` hits in a
  row (Järvelin and Kekäläinen 2002, binary);
- ``mrr@k``: ``1 / r`` of the first hit;
- ``map@k``: the mean, over ``min(relevant, k)``, of the precision at each hit;
- ``hit_rate@k``: 1 where there is a hit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """Where the relevant items of some users stand in their lists.

    Attributes
    ----------
    hits : (n, k) bool
        Whether the item at each rank is relevant; a list shorter than k is filled up with misses.
    num_relevant : (n,) int64
        Relevant items of each user, at least 1.
    """

    hits: npt.NDArray[np.bool_]
    num_relevant: npt.NDArray[np.int64]

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.hits.shape[1])


def ranked(
    top: Sequence[npt.NDArray[np.integer]],
    relevant: sp.csr_matrix,
    num_relevant: npt.NDArray[np.integer] | None,
    k: int,
) -> Ranked:
    """Find the relevant items in given lists.

    Parameters
    ----------
    top : n arrays of item rows, best first
        Each may be shorter or longer than k; rows below 0 (items the data does not know) are misses.
    relevant : (n, I) CSR
        The relevant items of the same users; only the pattern counts.
    num_relevant : (n,), optional
        All relevant items of each user, where some have no row in ``relevant``; at least those stored there, and
        at least 1. The stored ones when None.
    k
        At least 1.

    Raises
    ------
    ValueError
        If the numbers of users differ, or a user has no relevant item.
    """
    n, num_items = relevant.shape
    if len(top) != n:
        raise ValueError(f"{len(top)} lists for {n} users")
    known = np.diff(relevant.indptr)
    totals = (known if num_relevant is None else np.asarray(num_relevant)).astype(np.int64)
    if len(totals) != n or (totals < np.maximum(known, 1)).any():
        raise ValueError("every user needs a relevant item, and num_relevant must count all of them")
    lists = np.full((n, k), -1, dtype=np.int64)
    for position, best in enumerate(top):
        listed = best[:k]
        lists[position, : len(listed)] = listed
    # One sorted array of (user, item) keys answers every membership question at once.
    users = np.arange(n, dtype=np.int64)
    relevant_keys = np.repeat(users, known) * num_items + relevant.indices
    return Ranked(np.isin(users[:, None] * num_items + lists, relevant_keys) & (lists >= 0), totals)


def recall(found: Ranked) -> Values:
    """Give the share of the relevant items that is in the list."""
    shares: Values = _hits(found) / found.num_relevant
    return shares


def precision(found: Ranked) -> Values:
    """Give the share of the list that is relevant."""
    return _hits(found) / found.k


def f1(found: Ranked) -> Values:
    """Give the harmonic mean of precision and recall: twice the hits over list and relevant items together."""
    shares: Values = 2.0 * _hits(found) / (found.k + found.num_relevant)
    return shares


def ndcg(found: Ranked) -> Values:
    """Give the normalised discounted cumulative gain."""
    discount = 1.0 / np.log2(np.arange(2, found.k + 2))
    ideal = np.cumsum(discount)[np.minimum(found.num_relevant, found.k) - 1]
    gains: Values = (found.hits * discount).sum(axis=1) / ideal
    return gains


def mrr(found: Ranked) -> Values:
    """Give the reciprocal rank of the first hit; 0 without one."""
    reciprocal: Values = hit_rate(found) / (found.hits.argmax(axis=1) + 1.0)
    return reciprocal


def average_precision(found: Ranked) -> Values:
    """Give the mean precision at the hits, of as many as the list could have had."""
    at_rank = np.cumsum(found.hits, axis=1) / np.arange(1, found.k + 1)
    sums: Values = (at_rank * found.hits).sum(axis=1)
    return sums / np.minimum(found.num_relevant, found.k)


def hit_rate(found: Ranked) -> Values:
    """Give 1 where the list holds a relevant item, else 0."""
    return (_hits(found) > 0).astype(np.float64)


def _hits(found: Ranked) -> Values:
    count: Values = found.hits.sum(axis=1, dtype=np.float64)
    return count


METRICS: dict[str, Callable[[Ranked], Values]] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "f1": f1,
    "map": average_precision,
    "mrr": mrr,
    "hit_rate": hit_rate,
}
"""By the name that stands before ``@k``; those that models are selected by come first."""
