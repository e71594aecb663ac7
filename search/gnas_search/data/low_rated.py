"""What users rated too low for a positive: negatives that were observed, in the part of the time they belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data import policies
from gnas_search.data.columns import TEST, TRAIN, VALID
from gnas_search.data.interactions import Interactions
from gnas_search.data.pairs import Known, Pairs, binary_csr


def low_rated(interactions: Interactions, too_low: npt.NDArray[np.bool_], targets: Pairs, policy: str) -> Pairs | None:
    """Give the pairs that were rated too low and are positives nowhere, each in a part.

    A given test part keeps its own. Otherwise, where the split follows time, a negative is in test from its user's
    first test interaction on, and in validation from the first validation interaction on. Where it does not, parts are
    drawn as those of the positives are. Nothing is learned from any of them.

    Parameters
    ----------
    interactions
        The logs.
    too_low : (n,)
        Which interactions are of the target event and rated below ``min_rating``.
    targets
        The positives, with the parts they are in.
    policy
        As :class:`~gnas_search.data.dataset.Dataset` states it.

    Returns
    -------
    Pairs
        None where nothing is rated too low.
    """
    if not too_low.any():
        return None
    width = len(interactions.items)
    low = Pairs.of(interactions, too_low).merged()[0]
    low = low.take(~np.isin(low.users * width + low.items, targets.users * width + targets.items))
    low = low.take(np.argsort(low.users * width + low.items))  # no draw may depend on the order of the file
    if policy == "given":
        return low
    if policy == "random":
        return replace(low, parts=policies.random(low.users, interactions.config.split_seed))
    parts = low.parts.copy()
    movable = np.flatnonzero(parts == TRAIN)
    if policy == "given+random":
        parts[movable] = policies.carve_validation(low.users[movable], None, interactions.config.split_seed)
    elif low.times is not None and targets.times is not None:
        times, users = low.times[movable], low.users[movable]
        for part in (VALID,) if policy.startswith("given") else (VALID, TEST):
            first = np.full(len(interactions.users), np.inf)
            asked = targets.parts == part
            np.minimum.at(first, targets.users[asked], targets.times[asked])
            parts[movable[times >= first[users]]] = part
    return replace(low, parts=parts)


def negatives_of(low: Pairs, known: Known, users: npt.NDArray[np.int64]) -> sp.csr_matrix:
    """Make the (n, I) matrix of the pairs of some users with items that the dataset knows.

    Parameters
    ----------
    low
        Pairs of any users.
    known
        What the dataset knows.
    users : (n,)
        Rows in the vocabulary of the logs, ascending.
    """
    lines = np.minimum(np.searchsorted(users, low.users), max(len(users) - 1, 0))
    items = known.item_rows[low.items]
    kept = (items >= 0) & (users[lines] == low.users) if len(users) else np.zeros(len(items), dtype=np.bool_)
    return binary_csr(lines[kept], items[kept], (len(users), len(known.items)))
