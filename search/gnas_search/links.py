"""The strongest links between items by the users whom they have in common, row by row of a sparse product."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from gnas_search.loops import Kernel
from gnas_search.operators.kernels import Floats, Ints
from gnas_search.operators.pattern import CsrPattern

MOST_VISITED = 1000
"""Of a history with at least twice as many items, a link's source visits only every second, third ... one.

A user with n items is n^2 pairs: one catalogue crawler with a hundred thousand would cost ten billion and outweigh a
million others. With each n-th item visited and counted n-fold, a source visits 1000 to 2000 items of any user, and
the work is bounded by the number of interactions. Which ones differs from source to source, so sums are right in the
mean; histories below 2000 items count in full.
"""

LINK_BYTES = 8
"""An item and a value."""

_SPANS = 64  # the same whatever the number of threads

Offsets = npt.NDArray[np.int64]
Degrees = npt.NDArray[np.float64]


def strongest_links(
    users: CsrPattern, user_weights: Degrees, source_weights: Degrees, target_weights: Degrees, neighbours: int
) -> sp.csr_matrix:
    """Link each item to the items that it shares the most, or weightiest, users with.

    Parameters
    ----------
    users
        (U, I): the items of each user.
    user_weights : (U,)
        Above 0: what a common user counts.
    source_weights, target_weights : (I,)
        Above 0: factors of each row and each column.
    neighbours
        The largest so many of each row are kept; of equal ones those with the lower item.

    Returns
    -------
    (I, I) CSR float32, int32 indices, sorted
        ``source_weights[h] * sum_u user_weights[u] * target_weights[i]`` over the users u of both h and i, 0 on the
        diagonal. Beyond :data:`MOST_VISITED` items of one user an estimate. Sums are made in float64 and each row in
        one fixed order: results do not depend on the number of threads.

    Notes
    -----
    Memory is what is kept, and one number per item and thread; the product itself, 36 million entries on Gowalla,
    never exists as a whole.
    """
    items = users.transposed
    work = _work(users.indptr, users.indices, items.num_rows)
    offsets = np.concatenate([[0], np.cumsum(np.minimum(work, min(neighbours, items.num_rows)))])  # upper bounds
    linked = np.empty(offsets[-1], np.int32)
    values = np.empty(offsets[-1], np.float32)
    kept = np.zeros(items.num_rows, np.int64)
    total = np.cumsum(work + 1)
    spans = np.searchsorted(total, np.linspace(0, total[-1], _SPANS + 1)).astype(np.int32)
    spans[-1] = items.num_rows
    _links(
        int(total[-1]),
        *(spans, items.indptr, items.indices, users.indptr, users.indices, _steps(users.indptr)),
        *(user_weights, source_weights, target_weights, neighbours, offsets, linked, values, kept),
    )
    indptr = np.concatenate([[0], np.cumsum(kept)])
    for part in (linked, values):  # what lies beyond the links goes back to the system; nobody else refers to it
        part.resize(indptr[-1], refcheck=False)
    return sp.csr_matrix((values, linked, indptr), shape=(items.num_rows, items.num_rows))


def compile_links() -> None:
    """Compile the loops, some seconds once per machine: whoever times the first model would charge it for them."""
    ones = np.ones(1)
    pattern = CsrPattern(np.array([0, 1], np.int32), np.zeros(1, np.int32), 1)
    strongest_links(pattern, ones, ones, ones, 1)
    _links.compile()


def links_bytes(interactions: sp.csr_matrix, neighbours: int) -> tuple[int, int]:
    """Count what the links of each item take, and what finding them takes at its peak, the links included.

    Parameters
    ----------
    interactions : (U, I) CSR
        Whose items are linked.
    neighbours
        As for :func:`strongest_links`.

    Returns
    -------
    links, peak : int
        Upper bounds: items that share several users are counted for each.
    """
    num_users, num_items = interactions.shape
    work = _work(interactions.indptr, interactions.indices, num_items)
    links = LINK_BYTES * int(np.minimum(work, min(neighbours, num_items)).sum())
    threads = min(torch.get_num_threads(), _SPANS)
    # Both patterns and the order between them; per user and item a few numbers in 64 bits; per thread the sums, what
    # was reached and its scores, and what the strongest of them are picked by.
    return links, links + 32 * interactions.nnz + 64 * (num_users + num_items) + threads * 32 * num_items


def _steps(user_offsets: Ints) -> Offsets:
    """Say how far apart the visited items of each user are: (U,), 1 where all are."""
    return np.maximum(np.diff(user_offsets).astype(np.int64) // MOST_VISITED, 1)


def _work(user_offsets: Ints, user_items: Ints, num_items: int) -> Offsets:
    """Count the pairs that each item's links are summed from, which are at least as many as the links: (I,)."""
    lengths = np.diff(user_offsets)
    visited = -(-lengths // _steps(user_offsets)).astype(np.float64)
    return np.bincount(user_items, weights=np.repeat(visited, lengths), minlength=num_items).astype(np.int64)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _largest(values: Floats, count: int) -> np.float32:
    """Give the ``count``-th largest value, reordering them (quickselect; ``np.partition`` takes 7 s to compile)."""
    place = len(values) - count
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if place <= right:
            high = right
        elif place >= left:
            low = left
        else:
            break
    found: np.float32 = values[place]
    return found


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _strongest(items: Ints, scores: Floats, count: int) -> Ints:
    """Give the items of the ``count`` highest scores, ascending; of equal scores the lower items."""
    if len(items) <= count:
        return np.sort(items)
    threshold = _largest(scores.copy(), count)
    chosen = np.empty(count, np.int32)
    level = np.empty(len(items), np.int32)
    above = tied = 0
    for position in range(len(items)):
        if scores[position] > threshold:
            chosen[above] = items[position]
            above += 1
        elif scores[position] == threshold:
            level[tied] = items[position]
            tied += 1
    chosen[above:] = np.sort(level[:tied])[: count - above]
    return np.sort(chosen)


@Kernel
def _links(
    spans: Ints,
    item_offsets: Ints,
    item_users: Ints,
    user_offsets: Ints,
    user_items: Ints,
    steps: Offsets,
    user_weights: Degrees,
    source_weights: Degrees,
    target_weights: Degrees,
    neighbours: int,
    offsets: Offsets,
    linked: Ints,
    values: Floats,
    kept: Offsets,
) -> None:
    """Write the links of each item, ascending, behind those of the item before; into ``kept`` how many there are.

    Until all are known, those of each item lie at its place in ``offsets``.
    """
    num_items = len(item_offsets) - 1
    for span in numba.prange(len(spans) - 1):
        totals = np.zeros(num_items, np.float64)
        reached = np.empty(num_items, np.int32)
        scores = np.empty(num_items, np.float32)
        for source in range(spans[span], spans[span + 1]):
            count = 0
            for entry in range(item_offsets[source], item_offsets[source + 1]):
                user = item_users[entry]
                step = steps[user]
                weight = user_weights[user] * step
                # Two odd multipliers spread the first visited place over sources and users.
                first = (source * 73856093 + user * 19349663) % step if step > 1 else 0
                for place in range(user_offsets[user] + first, user_offsets[user + 1], step):
                    item = user_items[place]
                    if totals[item] == 0.0:
                        reached[count] = item
                        count += 1
                    totals[item] += weight
            others = 0
            for position in range(count):
                item = reached[position]
                if item != source:
                    reached[others] = item
                    scores[others] = source_weights[source] * totals[item] * target_weights[item]
                    others += 1
            totals[source] = 0.0
            chosen = _strongest(reached[:others], scores[:others], neighbours)
            start = offsets[source]
            kept[source] = len(chosen)
            for position in range(len(chosen)):
                item = chosen[position]
                linked[start + position] = item
                values[start + position] = source_weights[source] * totals[item] * target_weights[item]
            for position in range(others):
                totals[reached[position]] = 0.0
    filled = 0
    for source in range(num_items):
        for place in range(offsets[source], offsets[source] + kept[source]):
            linked[filled] = linked[place]
            values[filled] = values[place]
            filled += 1
