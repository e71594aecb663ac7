"""User-item pairs on their way from the logs to the matrices of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.columns import PART_NAMES
from gnas_search.data.interactions import FeatureTable, Interactions
from gnas_serve.vocabulary import Vocabulary


@dataclass(frozen=True)
class Pairs:
    """Some interactions.

    Attributes
    ----------
    users, items : (n,) int64
        Rows in the vocabularies of the logs.
    times : (n,) float64 or None
    parts : (n,) int8
        0 train, 1 valid, 2 test.
    events : (n,) int16
        Codes in the logs.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64] | None
    parts: npt.NDArray[np.int8]
    events: npt.NDArray[np.int16]

    @classmethod
    def of(cls, interactions: Interactions, mask: npt.NDArray[np.bool_]) -> Pairs:
        """Take the interactions where ``mask`` holds, in file order; all train where no split is given."""
        parts, times = interactions.parts, interactions.timestamps
        return cls(
            interactions.user_rows[mask].astype(np.int64),
            interactions.item_rows[mask].astype(np.int64),
            None if times is None else times[mask],
            np.zeros(int(mask.sum()), dtype=np.int8) if parts is None else parts[mask],
            interactions.event_codes[mask],
        )

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Pairs:
        """Take some pairs, by mask or by position."""
        times = None if self.times is None else self.times[chosen]
        return Pairs(self.users[chosen], self.items[chosen], times, self.parts[chosen], self.events[chosen])

    def part(self, part: int) -> Pairs:
        """Take the pairs of one part."""
        return self.take(self.parts == part)

    def merged(self) -> tuple[Pairs, int]:
        """Keep one interaction per pair: of the earliest part, there the earliest in time.

        Returns
        -------
        Pairs
            In file order where there are times, which settles their ties; else by user and item, so that nothing
            depends on the file.
        int
            How many pairs were dropped from a later part because an earlier part has them.
        """
        # One number per pair and part: sorting once is several times faster than a sort per column.
        width = int(self.items.max(initial=0)) + 1
        keys = (self.users * width + self.items) * len(PART_NAMES) + self.parts
        order = np.argsort(keys, kind="stable") if self.times is None else np.lexsort((self.times, keys))
        keys = keys[order]
        same_pair = keys[1:] // len(PART_NAMES) == keys[:-1] // len(PART_NAMES)
        across = int(np.count_nonzero(same_pair & (keys[1:] != keys[:-1])))
        kept = order[np.concatenate([[True], ~same_pair])] if len(order) else order
        return self.take(kept if self.times is None else np.sort(kept)), across


@dataclass(frozen=True)
class Known:
    """The ids of the logs that a dataset knows, and their rows there.

    Attributes
    ----------
    users, items : (U,) and (I,) int64
        Rows in the vocabularies of the logs, ascending.
    user_rows, item_rows : int64
        For each row in the logs' vocabulary the row in the dataset's; -1 where it has none.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    user_rows: npt.NDArray[np.int64]
    item_rows: npt.NDArray[np.int64]

    @classmethod
    def within(cls, groups: tuple[Pairs, ...], num_users: int, num_items: int) -> Known:
        """Collect the ids that occur in ``groups``."""
        users, user_rows = _present([group.users for group in groups], num_users)
        items, item_rows = _present([group.items for group in groups], num_items)
        return cls(users, items, user_rows, item_rows)

    def matrix(self, *groups: Pairs) -> sp.csr_matrix:
        """Make the (U, I) matrix of all pairs in the groups, each counted once."""
        users = self.user_rows[np.concatenate([group.users for group in groups])]
        items = self.item_rows[np.concatenate([group.items for group in groups])]
        return binary_csr(users, items, (len(self.users), len(self.items)))


def binary_csr(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], shape: tuple[int, int]) -> sp.csr_matrix:
    """Make a CSR matrix of float32 ones with sorted int32 indices; repeated positions count once."""
    width = max(shape[1], 1)
    keys = np.sort(rows * width + columns)  # not np.unique: its hash table is ten times slower here
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    indptr = np.zeros(shape[0] + 1, dtype=np.int32)
    np.cumsum(np.bincount(keys // width, minlength=shape[0]), out=indptr[1:])
    matrix = sp.csr_matrix((np.ones(len(keys), np.float32), (keys % width).astype(np.int32), indptr), shape=shape)
    matrix.has_sorted_indices = True
    return matrix


def subset_ids(vocabulary: Vocabulary, rows: npt.NDArray[np.int64]) -> Vocabulary:
    """Keep some ids of a vocabulary; ``rows`` ascend."""
    values, offsets = vocabulary.values, vocabulary.offsets
    if offsets is None:
        return Vocabulary(values[rows])
    lengths = offsets[rows + 1] - offsets[rows]
    kept = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=kept[1:])
    positions = np.repeat(offsets[rows] - kept[:-1], lengths) + np.arange(kept[-1])
    return Vocabulary(values[positions], kept)


def subset_features(table: FeatureTable | None, rows: npt.NDArray[np.int64]) -> FeatureTable | None:
    """Keep the features of some rows."""
    return None if table is None else FeatureTable(table.names, table.values[rows])


def _present(groups: list[npt.NDArray[np.int64]], count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    mask = np.zeros(count, dtype=np.bool_)
    for rows in groups:
        mask[rows] = True
    present = np.flatnonzero(mask)
    positions = np.full(count, -1, dtype=np.int64)
    positions[present] = np.arange(len(present))
    return present, positions
