"""Attributes as a question tells them: of items that the catalogue does not have, typed as those of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gnas_serve.artifact.attribute_facts import NUMBER, TEXT
from gnas_serve.runtime.attribute_columns import UNKNOWN, Column, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.content_encoder import ItemValue
from gnas_serve.runtime.segments import as_number, as_text
from gnas_serve.vocabulary import Vocabulary


def told_attributes(kinds: Mapping[str, str], told: Sequence[Mapping[str, ItemValue]]) -> Attributes:
    """Make attributes of what is told, to be filtered by.

    Parameters
    ----------
    kinds
        Of the catalogue's attributes, by name.
    told
        Of each item by name; what is not of the attribute's kind is unknown, as it is in the data.
    """
    columns = {name: _column(kind, [one.get(name) for one in told]) for name, kind in kinds.items()}
    return Attributes(columns, len(told))


def _column(kind: str, values: list[ItemValue]) -> Column:
    if kind == NUMBER:
        numbers = [None if isinstance(value, tuple) else as_number(value) for value in values]
        return NumberColumn(np.array([np.nan if one is None else one for one in numbers], dtype=np.float64))
    if kind == TEXT:
        texts = [(None if isinstance(value, tuple) else as_text(value)) or None for value in values]
        words = Vocabulary.from_ids([text for text in texts if text is not None])
        codes = [UNKNOWN if text is None else words.row(text) for text in texts]
        return TextColumn(np.array(codes, dtype=np.int32), words)
    lists = [_listed(value) for value in values]
    words = Vocabulary.from_ids([text for one in lists for text in one if text])
    # An empty text is a word that is not known, as it is in the data.
    places = [sorted(words.row(text) if text else UNKNOWN for text in one) for one in lists]
    offsets = np.cumsum([0, *map(len, places)]).astype(np.int64)
    return WordsColumn(offsets, np.array([place for one in places for place in one], dtype=np.int32), words)


def _listed(value: ItemValue) -> set[str]:
    """Take a text for a list of one, and what is not known for one of an empty text."""
    return set(value) if isinstance(value, tuple) else {as_text(value) or ""}
