"""Columns of attributes: numbers, texts, and lists of texts, one value per item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from operator import lt
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.kinds import NUMBER, TEXT, WORDS
from gnas_serve.vocabulary import Vocabulary

UNKNOWN = -1
"""Code of a word that is not known; of a list: that it may hold more than the words it names."""
_FEW = 0.01  # of all places of lists: then a binary search of each is quicker than counting them all

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NumberColumn:
    """One number per item.

    Attributes
    ----------
    values : (I,) float64
        NaN where it is unknown; yes and no are 1 and 0.
    """

    kind: ClassVar[str] = NUMBER
    values: npt.NDArray[np.float64]

    def check(self) -> None:
        """Check what type and shape cannot say.

        Raises
        ------
        ValueError
            If a number is infinite.
        """
        if np.isinf(self.values).any():
            raise ValueError("an infinite number")


@dataclass(frozen=True)
class TextColumn:
    """One text per item.

    Attributes
    ----------
    codes : (I,) int32
        Rows of ``words``, -1 where the text is unknown.
    words
        The distinct texts.
    """

    kind: ClassVar[str] = TEXT
    codes: npt.NDArray[np.int32]
    words: Vocabulary

    def check(self) -> None:
        """Check what types and shapes cannot say.

        Raises
        ------
        ValueError
            If words do not ascend or are no UTF-8, or a code is out of range.
        """
        _check_words(self.words)
        _check_codes(self.codes, self.words)


@dataclass(frozen=True)
class WordsColumn:
    """A list of texts per item.

    Attributes
    ----------
    offsets : (I + 1,) int64
        Where the list of each item begins.
    codes : (n,) int32
        Rows of ``words``; ascending and distinct within a list. A leading -1 says that the list may hold words that
        are not known: alone, nothing of it is known.
    words
        The distinct texts.
    """

    kind: ClassVar[str] = WORDS
    offsets: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    words: Vocabulary

    @cached_property
    def incomplete(self) -> Mask:
        """Where the list may hold more than it names, (I,)."""
        return self.lists_with(self.codes == UNKNOWN)

    def lists_with(self, found: Mask) -> Mask:
        """Tell which lists hold one of some places.

        Parameters
        ----------
        found : (n,) bool
            One truth per code.

        Returns
        -------
        (I,) bool
        """
        places = np.flatnonzero(found)
        if len(places) < _FEW * len(found):
            lists = np.zeros(len(self.offsets) - 1, dtype=np.bool_)
            lists[np.searchsorted(self.offsets, places, side="right") - 1] = True
            return lists
        before = np.zeros(len(found) + 1, dtype=np.int32 if len(found) <= np.iinfo(np.int32).max else np.int64)
        np.cumsum(found, out=before[1:])
        at = before[self.offsets]
        changes: Mask = at[1:] != at[:-1]
        return changes

    def check(self) -> None:
        """Check what types and shapes cannot say.

        Raises
        ------
        ValueError
            If offsets descend, or words, or those of a list, do not ascend, or a code is out of range.
        """
        _check_words(self.words)
        _check_codes(self.codes, self.words)
        if (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets of lists descend")
        descends = np.diff(self.codes) <= 0
        begins = self.offsets[1:-1]  # the next list may begin anywhere
        descends[begins[(begins > 0) & (begins < len(self.codes))] - 1] = False
        if descends.any():
            raise ValueError("the words of a list do not ascend")


Column = NumberColumn | TextColumn | WordsColumn


def word_offsets(words: Vocabulary) -> npt.NDArray[np.int64]:
    """Give where each word begins.

    Raises
    ------
    ValueError
        If the vocabulary is one of integers.
    """
    if words.offsets is None:
        raise ValueError("the words of an attribute are integers")
    return words.offsets


def _check_codes(codes: npt.NDArray[np.int32], words: Vocabulary) -> None:
    if len(codes) and (codes.min() < UNKNOWN or codes.max() >= len(words)):
        raise ValueError("a word is out of range")


def _check_words(words: Vocabulary) -> None:
    """Check that words are UTF-8 and ascend strictly; a million titles must not hold a start up for seconds."""
    starts = word_offsets(words)
    if (np.diff(starts) < 0).any():
        raise ValueError("offsets of words descend")
    values = np.asarray(words.values, dtype=np.uint8)
    raw = values.tobytes()
    raw.decode()
    begins = starts[:-1][starts[:-1] < len(values)]
    if (values[begins] & 0xC0 == 0x80).any():
        raise ValueError("a word begins within a character")
    pieces = [raw[start:end] for start, end in pairwise(starts.tolist())]
    if not all(map(lt, pieces, islice(pieces, 1, None))):
        raise ValueError("words do not ascend strictly")
