"""What a question tells of items that the catalogue does not have, in columns as those of the items that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnas_serve.artifact.kinds import NUMBER, TEXT
from gnas_serve.runtime.attribute_columns import UNKNOWN, Column, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.told_values import TypedValue
from gnas_serve.vocabulary import Vocabulary


def told_attributes(kinds: Mapping[str, str], told: Sequence[Mapping[str, TypedValue]]) -> Attributes:
    """Make attributes of what is told, to be filtered by.

    Parameters
    ----------
    kinds
        Of the catalogue's attributes, by name.
    told
        Of each item by name, each value of the kind that its attribute is of.
    """
    columns = {name: _column(kind, [one.get(name) for one in told]) for name, kind in kinds.items()}
    return Attributes(columns, len(told))


def _column(kind: str, values: list[Any]) -> Column:
    if kind == NUMBER:
        return NumberColumn(np.array([np.nan if one is None else one for one in values], dtype=np.float64))
    if kind == TEXT:
        words = Vocabulary.from_ids([text for text in values if text is not None])
        codes = [UNKNOWN if text is None else words.row(text) for text in values]
        return TextColumn(np.array(codes, dtype=np.int32), words)
    # An empty text is a word that is not known, as it is in the data, and so is a list of which nothing is.
    lists = [{""} if one is None else set(one) for one in values]
    words = Vocabulary.from_ids([text for one in lists for text in one if text])
    places = [sorted(words.row(text) if text else UNKNOWN for text in one) for one in lists]
    offsets = np.cumsum([0, *map(len, places)]).astype(np.int64)
    return WordsColumn(offsets, np.array([place for one in places for place in one], dtype=np.int32), words)
