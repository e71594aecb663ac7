"""Attributes of the items: the columns of the data's ``items`` file, typed, by which answers can be filtered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array
from gnas_serve.artifact.attribute_facts import AttributeFacts
from gnas_serve.artifact.kinds import NUMBER, TEXT, WORDS
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.runtime.attribute_columns import Column, NumberColumn, TextColumn, WordsColumn, word_offsets
from gnas_serve.vocabulary import Vocabulary

NUMBERS, CODES, LIST_OFFSETS, LIST_CODES = "numbers", "codes", "list_offsets", "list_codes"
WORD_BYTES, WORD_OFFSETS = "word_bytes", "word_offsets"

_FILES = {
    NUMBERS: LAYOUT.item_attribute_numbers,
    CODES: LAYOUT.item_attribute_codes,
    LIST_OFFSETS: LAYOUT.item_attribute_list_offsets,
    LIST_CODES: LAYOUT.item_attribute_list_codes,
    WORD_BYTES: LAYOUT.item_attribute_word_bytes,
    WORD_OFFSETS: LAYOUT.item_attribute_word_offsets,
}
_DTYPES: dict[str, type[np.generic]] = {
    NUMBERS: np.float64,
    CODES: np.int32,
    LIST_OFFSETS: np.int64,
    LIST_CODES: np.int32,
    WORD_BYTES: np.uint8,
    WORD_OFFSETS: np.int64,
}


@dataclass(frozen=True)
class Attributes:
    """The attributes of I items.

    They are stored as six arrays, whatever the number of columns: all numbers (n, I), all codes of texts (m, I), the
    offsets of all lists (l, I + 1) with their codes one after the other, and the words of all columns as one blob of
    UTF-8, with each column's own offsets one after the other.

    Attributes
    ----------
    columns
        By name, in the order of the data.
    num_items
        I.
    """

    columns: Mapping[str, Column]
    num_items: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(self.columns)

    def facts(self) -> tuple[AttributeFacts, ...]:
        """Give what a manifest says of the columns."""
        return tuple(
            AttributeFacts(name, column.kind, 0 if isinstance(column, NumberColumn) else len(column.words))
            for name, column in self.columns.items()
        )

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Lay the columns out as the arrays that are stored, those of a kind that occurs.

        Returns
        -------
        dict
            By the names of :meth:`files`.
        """
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in _FILES}
        for column in self.columns.values():
            if isinstance(column, NumberColumn):
                parts[NUMBERS].append(column.values)
                continue
            if isinstance(column, TextColumn):
                parts[CODES].append(column.codes)
            else:
                parts[LIST_OFFSETS].append(column.offsets)
                parts[LIST_CODES].append(column.codes)
            parts[WORD_BYTES].append(column.words.values)
            parts[WORD_OFFSETS].append(word_offsets(column.words))
        stacked = (NUMBERS, CODES, LIST_OFFSETS)
        return {
            name: np.stack(arrays) if name in stacked else np.concatenate(arrays)
            for name, arrays in parts.items()
            if arrays
        }

    def stored(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give the arrays by the names of their files in an artifact."""
        return {_FILES[name]: array for name, array in self.arrays().items()}

    @staticmethod
    def files(facts: Sequence[AttributeFacts]) -> dict[str, str]:
        """Give the names of the arrays that columns of such facts have, and of their files in an artifact."""
        kinds = {fact.kind for fact in facts}
        absent = set() if kinds & {TEXT, WORDS} else {WORD_BYTES, WORD_OFFSETS}
        absent |= set() if NUMBER in kinds else {NUMBERS}
        absent |= set() if TEXT in kinds else {CODES}
        absent |= set() if WORDS in kinds else {LIST_OFFSETS, LIST_CODES}
        return {name: file for name, file in _FILES.items() if name not in absent}

    @classmethod
    def of(cls, facts: Sequence[AttributeFacts], arrays: Mapping[str, npt.NDArray[Any]], num_items: int) -> Attributes:
        """Take the columns out of stored arrays, as views of them.

        Raises
        ------
        ValueError
            If an array is missing, of another type or shape than the facts imply, or offsets do not span what they
            are of. Names the array.
        """
        count = {kind: sum(fact.kind == kind for fact in facts) for kind in (NUMBER, TEXT, WORDS)}
        num_words = sum(fact.num_words + 1 for fact in facts if fact.kind != NUMBER)
        shapes: dict[str, tuple[int | None, ...]] = {
            NUMBERS: (count[NUMBER], num_items),
            CODES: (count[TEXT], num_items),
            LIST_OFFSETS: (count[WORDS], num_items + 1),
            LIST_CODES: (None,),
            WORD_BYTES: (None,),
            WORD_OFFSETS: (num_words,),
        }
        for name in cls.files(facts):
            _check_array(name, arrays.get(name), shapes[name])
        rows = dict.fromkeys((NUMBER, TEXT, WORDS), 0)
        lists, words = _Spans(arrays, LIST_OFFSETS, LIST_CODES), _Spans(arrays, WORD_OFFSETS, WORD_BYTES)
        columns: dict[str, Column] = {}
        first = 0
        for fact in facts:
            row = rows[fact.kind]
            rows[fact.kind] += 1
            if fact.kind == NUMBER:
                columns[fact.name] = NumberColumn(arrays[NUMBERS][row])
                continue
            starts = arrays[WORD_OFFSETS][first : first + fact.num_words + 1]
            first += fact.num_words + 1
            known = Vocabulary(words.next(starts), starts)
            if fact.kind == TEXT:
                columns[fact.name] = TextColumn(arrays[CODES][row], known)
            else:
                offsets = arrays[LIST_OFFSETS][row]
                columns[fact.name] = WordsColumn(offsets, lists.next(offsets), known)
        lists.check_end()
        words.check_end()
        return cls(columns, num_items)

    @classmethod
    def open(cls, path: Path, facts: Sequence[AttributeFacts], num_items: int) -> Attributes | None:
        """Open the attributes of an artifact, memory-mapped; None where it has none.

        Raises
        ------
        IntegrityError
            If a file is missing, unreadable or of another type.
        ValueError
            As :meth:`of`.
        """
        if not facts:
            return None
        ranks = {NUMBERS: 2, CODES: 2, LIST_OFFSETS: 2}
        arrays = {
            name: read_array(path / file, (_DTYPES[name],), (None,) * ranks.get(name, 1), mapped=True)
            for name, file in cls.files(facts).items()
        }
        return cls.of(facts, arrays, num_items)

    def check_content(self) -> None:
        """Check what types and shapes cannot say: order and ranges. Reads every page once.

        Raises
        ------
        ValueError
            Naming the attribute.
        """
        for name, column in self.columns.items():
            try:
                column.check()
            except ValueError as error:
                raise ValueError(f"attribute {name!r}: {error}") from error


class _Spans:
    """What lies one after the other in an array, each part as long as the end of its own offsets says."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], offsets: str, values: str) -> None:
        self._names = f"{offsets} do not span {values}"
        self._values = arrays.get(values)
        self._at = 0

    def next(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Give the part that these offsets are of."""
        end = self._at + int(offsets[-1])
        if self._values is None or offsets[0] != 0 or not self._at <= end <= len(self._values):
            raise ValueError(self._names)
        part = self._values[self._at : end]
        self._at = end
        return part

    def check_end(self) -> None:
        """Refuse an array that holds more than its parts."""
        if self._values is not None and self._at != len(self._values):
            raise ValueError(self._names)


def _check_array(name: str, array: npt.NDArray[Any] | None, shape: tuple[int | None, ...]) -> None:
    if array is None:
        raise ValueError(f"{name} of the attributes is missing")
    fits = array.ndim == len(shape) and all(
        wanted is None or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != _DTYPES[name] or not fits:
        raise ValueError(f"{name} of the attributes is {array.dtype} of shape {array.shape}, expected {shape}")
