"""Vocabulary: external id <-> internal row, compact and without one Python object per id.

Rows are the ids in ascending order, so the sorted array *is* the table: an integer id is found by binary search
in an ``int64`` array, a text id by binary search in one blob of UTF-8 bytes. Both forms can be memory-mapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Id = int | str
MAX_ID_CHARACTERS = 256
"""Of a text id: longer ones are refused where data is read, as they are at the doors."""
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")


class Vocabulary:
    """The ids of the users, or of the items, of one model.

    Build it with :meth:`from_ids` (any order) or from stored arrays.

    Parameters
    ----------
    values : (n,) int64 or (n_bytes,) uint8
        Ascending ids, or the concatenated UTF-8 bytes of ascending text ids.
    offsets : (n + 1,) int64, optional
        Where each text id starts in ``values``; absent for integer ids.
    """

    __slots__ = ("_blob", "_first", "offsets", "values")

    def __init__(self, values: npt.NDArray[np.generic], offsets: npt.NDArray[np.int64] | None = None) -> None:
        if offsets is None and values.dtype != np.int64:
            raise ValueError(f"integer ids must be int64, not {values.dtype}")
        if offsets is not None and values.dtype != np.uint8:
            raise ValueError(f"text ids must be a uint8 blob, not {values.dtype}")
        self.values = values
        self.offsets = offsets
        self._first = int(values[0]) if offsets is None and len(values) else 0
        self._blob = np.ascontiguousarray(values).data.cast("B") if offsets is not None else None

    @classmethod
    def from_ids(cls, ids: Iterable[Id] | npt.NDArray[np.integer]) -> Vocabulary:
        """Collect the distinct ids; all integers or all text.

        Raises
        ------
        TypeError
            If integers and text are mixed.
        """
        if isinstance(ids, np.ndarray) and np.issubdtype(ids.dtype, np.integer):
            return cls(np.unique(ids).astype(np.int64))
        listed = list(ids)
        if all(isinstance(value, (int, np.integer)) for value in listed):
            return cls(np.unique(np.asarray(listed, dtype=np.int64)))
        if not all(isinstance(value, str) for value in listed):
            raise TypeError("ids must be all integers or all text")
        encoded = sorted({str(value).encode() for value in listed})
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(value) for value in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    @property
    def is_text(self) -> bool:
        """Whether ids are text; integers otherwise."""
        return self.offsets is not None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        if self.is_text != other.is_text or len(self) != len(other):
            return False
        same_values = np.array_equal(self.values, other.values)
        if self.offsets is None or other.offsets is None:
            return same_values
        return same_values and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]  # holds arrays: compared, never a key

    def row(self, key: Id) -> int:
        """Find the row of an id, -1 where it is unknown.

        Integer ids are accepted as numbers or as their decimal text.
        """
        if self.offsets is None:
            return self._integer_row(key)
        blob = self._blob
        if not isinstance(key, str) or blob is None:
            return -1
        wanted = key.encode("utf-8", "surrogatepass")
        offsets = self.offsets
        low, high = 0, len(offsets) - 1
        while low < high:
            middle = (low + high) // 2
            if bytes(blob[offsets[middle] : offsets[middle + 1]]) < wanted:
                low = middle + 1
            else:
                high = middle
        found = low < len(offsets) - 1 and bytes(blob[offsets[low] : offsets[low + 1]]) == wanted
        return low if found else -1

    def _integer_row(self, key: Id) -> int:
        if isinstance(key, str):
            if not _DECIMAL.match(key):
                return -1
            key = int(key)
        if isinstance(key, bool) or not -(2**63) <= key < 2**63:
            return -1
        values = self.values
        # Ids are often numbered through: then the first tells where each is.
        position = key - self._first
        if not (0 <= position < len(values) and values[position] == key):
            position = int(values.searchsorted(key))
        return position if position < len(values) and values[position] == key else -1

    def as_id(self, key: Id) -> Id:
        """Give an id, known or not, in the type that ids have: decimal text is a number where they are numbers."""
        if self.offsets is None and isinstance(key, str) and _DECIMAL.match(key) and -(2**63) <= int(key) < 2**63:
            return int(key)
        return key

    def rows(self, keys: Iterable[Id]) -> npt.NDArray[np.int64]:
        """Find many rows, -1 where unknown."""
        if self.offsets is None and isinstance(keys, np.ndarray) and np.issubdtype(keys.dtype, np.integer):
            if len(self.values) == 0:
                return np.full(len(keys), -1, dtype=np.int64)
            positions = np.minimum(np.searchsorted(self.values, keys), len(self.values) - 1)
            return np.where(self.values[positions] == keys, positions, -1)
        return np.fromiter((self.row(key) for key in keys), dtype=np.int64)

    def id(self, row: int) -> Id:
        """Look up the id of one row."""
        if self.offsets is None:
            return int(self.values[row])
        if self._blob is None or not 0 <= row < len(self):
            raise IndexError(f"row {row} is outside 0..{len(self) - 1}")
        return bytes(self._blob[self.offsets[row] : self.offsets[row + 1]]).decode()

    def ids(self, rows: npt.NDArray[np.integer] | Sequence[int]) -> list[Id]:
        """Look up the ids of many rows, in their type in the data."""
        if self.offsets is None:
            integers: list[Id] = self.values.take(rows).tolist()
            return integers
        blob, rows = self._blob, np.asarray(rows, dtype=np.int64)
        if blob is None or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self)):
            raise IndexError(f"a row is outside 0..{len(self) - 1}")
        starts, stops = self.offsets.take(rows).tolist(), self.offsets.take(rows + 1).tolist()
        return [str(blob[start:stop], "utf-8") for start, stop in zip(starts, stops, strict=True)]

    def validate(self) -> None:
        """Check that ids ascend strictly, as every search here assumes.

        Raises
        ------
        ValueError
            If they do not.
        """
        if self.offsets is None:
            integers = np.asarray(self.values, dtype=np.int64)
            ascending = bool(np.all(integers[1:] > integers[:-1]))
        else:
            texts = [str(text).encode() for text in self.ids(range(len(self)))]
            ascending = all(left < right for left, right in pairwise(texts))
        if not ascending:
            raise ValueError("ids do not ascend strictly")
