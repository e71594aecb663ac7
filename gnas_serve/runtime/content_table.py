"""The known items by what is told of them: for each word or number, the items that have it, and how much it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.kinds import NUMBER
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.vocabulary import Vocabulary

_ROUNDING = 1e-3
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class ContentTable:
    """T terms: the knots of numbers and the words of texts, column after column, and the known items of each.

    Attributes
    ----------
    word_bytes : (n,) uint8
        The words of all columns of texts, as UTF-8.
    word_offsets : (m,) int64
        Where each begins: each column's own offsets, one after the other.
    rarity : (T,) float32
        How much it says that an item has the term; 0 where no known item has it.
    offsets : (T + 1,) int64
        Where the items of each term begin.
    items : (p,) int32
        Item rows, ascending within a term.
    values : (p,) float32
        The part that the term has in the item's vector of terms, which is of unit length.
    """

    word_bytes: npt.NDArray[np.uint8]
    word_offsets: npt.NDArray[np.int64]
    rarity: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]

    @classmethod
    def open(cls, path: Path, facts: ContentFacts | None) -> ContentTable | None:
        """Open the table of an artifact, memory-mapped; None where it has none.

        Raises
        ------
        IntegrityError
            If a file is missing, unreadable or of another type or shape.
        ValueError
            If offsets do not span what they are of.
        """
        if facts is None:
            return None
        num_offsets = sum(column.num_words + 1 for column in facts.columns if column.kind != NUMBER)
        word_bytes: Any = read_array(path / LAYOUT.content_word_bytes, (np.uint8,), (None,), mapped=True)
        word_offsets: Any = read_array(path / LAYOUT.content_word_offsets, (np.int64,), (num_offsets,), mapped=True)
        rarity: Any = read_array(path / LAYOUT.content_rarity, (np.float32,), (facts.num_terms,), mapped=True)
        offsets: Any = read_array(path / LAYOUT.content_offsets, (np.int64,), (facts.num_terms + 1,), mapped=True)
        items: Any = read_array(path / LAYOUT.content_items, (np.int32,), (None,), mapped=True)
        values: Any = read_array(path / LAYOUT.content_values, (np.float32,), items.shape, mapped=True)
        if offsets[0] != 0 or offsets[-1] != len(items):
            raise ValueError(f"{LAYOUT.content_offsets} does not span {LAYOUT.content_items}")
        return cls(word_bytes, word_offsets, rarity, offsets, items, values)

    def stored(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give the arrays by the names of their files in an artifact."""
        return {
            LAYOUT.content_word_bytes: self.word_bytes,
            LAYOUT.content_word_offsets: self.word_offsets,
            LAYOUT.content_rarity: self.rarity,
            LAYOUT.content_offsets: self.offsets,
            LAYOUT.content_items: self.items,
            LAYOUT.content_values: self.values,
        }

    @property
    def size_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in self.stored().values())

    def words(self, facts: ContentFacts) -> dict[str, Vocabulary]:
        """Give the words of every column of texts, as views.

        Raises
        ------
        ValueError
            If the offsets do not span the bytes.
        """
        found: dict[str, Vocabulary] = {}
        first = at = 0
        for column in facts.columns:
            if column.kind == NUMBER:
                continue
            starts = self.word_offsets[first : first + column.num_words + 1]
            end = at + int(starts[-1])
            if starts[0] != 0 or not at <= end <= len(self.word_bytes):
                raise ValueError(f"{LAYOUT.content_word_offsets} does not span {LAYOUT.content_word_bytes}")
            found[column.name] = Vocabulary(self.word_bytes[at:end], starts)
            first, at = first + column.num_words + 1, end
        if at != len(self.word_bytes):
            raise ValueError(f"{LAYOUT.content_word_offsets} does not span {LAYOUT.content_word_bytes}")
        return found

    def check_content(self, facts: ContentFacts) -> None:
        """Check what types and shapes cannot say of words and numbers; lists of items are checked beside others.

        Raises
        ------
        ValueError
            If words do not ascend, a number is none or negative, one of a unit vector's is above 1, or a term tells
            something that no item has.
        """
        for name, words in self.words(facts).items():
            if (np.diff(np.asarray(words.offsets)) < 0).any():
                raise ValueError(f"words of content attribute {name!r}: offsets descend")
            try:
                words.validate()
            except ValueError as error:
                raise ValueError(f"words of content attribute {name!r}: {error}") from error
        for name, numbers in ((LAYOUT.content_rarity, self.rarity), (LAYOUT.content_values, self.values)):
            if not np.isfinite(numbers).all() or (len(numbers) and numbers.min() < 0):
                raise ValueError(f"{name}: holds a negative number, or what is no finite one")
        if len(self.values) and self.values.max() > 1 + _ROUNDING:
            raise ValueError(f"{LAYOUT.content_values}: holds a number above 1, they are of vectors of unit length")
        if ((self.rarity > 0) & (np.diff(self.offsets) == 0)).any():
            raise ValueError(f"{LAYOUT.content_rarity}: a term that no item has is to have none")


def words_of(text: str) -> list[str]:
    """Divide a text into its distinct words, in their order, whatever their case."""
    return list(dict.fromkeys(_WORD.findall(text.casefold())))


def soft_places(
    values: npt.NDArray[np.float64], knots: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Say between which two knots numbers lie, and how near the upper one.

    Parameters
    ----------
    values : (n,)
        Known numbers; what is beyond the knots counts as the last of them.

    Returns
    -------
    lower : (n,) int64
        Place of the lower knot.
    share : (n,) float64
        Of the upper one: 0 to 1.
    """
    ends = np.array(knots)
    within = np.clip(values, ends[0], ends[-1])
    lower = np.minimum(np.searchsorted(ends, within, side="right") - 1, len(ends) - 2).astype(np.int64)
    return lower, (within - ends[lower]) / (ends[lower + 1] - ends[lower])
