"""Attributes made of plain rows of Python, and random ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from gnas_serve.runtime.attribute_columns import Column, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.vocabulary import Vocabulary

WORDS = ["", "a", "bag", "größe", "it's", 'say "hi"', "back\\slash", "new\nline", "日本", "zz", "\U0001f600"]


def attributes_of(columns: Mapping[str, Sequence[object]]) -> Attributes:
    """Make attributes of values: numbers, booleans, texts, lists of texts; None where unknown."""
    count = {len(values) for values in columns.values()}
    return Attributes({name: _column(values) for name, values in columns.items()}, count.pop())


def _column(values: Sequence[object]) -> Column:
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in known):
        return NumberColumn(np.array([np.nan if value is None else value for value in values], dtype=np.float64))
    if all(isinstance(value, str) for value in known):
        words = Vocabulary.from_ids(list(known))
        return TextColumn(np.array([-1 if value is None else words.row(value) for value in values], np.int32), words)
    words = Vocabulary.from_ids([word for value in known for word in value if word is not None])
    lists = [
        sorted({-1 if word is None else words.row(word) for word in ([None] if value is None else value)})
        for value in values
    ]
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return WordsColumn(offsets, np.array([code for codes in lists for code in codes], np.int32), words)


def random_table(rng: random.Random, num_items: int) -> dict[str, list[object]]:
    """Draw a column of each kind, with values that are unknown."""

    def draw(make) -> list[object]:
        return [None if rng.random() < 0.2 else make() for _ in range(num_items)]

    return {
        "price": draw(lambda: rng.choice([-1.5, 0, 1, 2, 3.25, 1e9])),
        "in_stock": draw(lambda: rng.random() < 0.5),
        "category": draw(lambda: rng.choice(WORDS)),
        "tags": draw(lambda: [rng.choice([*WORDS, None]) for _ in range(rng.randrange(4))]),
        "list price": draw(lambda: rng.randrange(5)),
        "a`b": draw(lambda: rng.choice(WORDS[:3])),
        "not": draw(lambda: float(rng.randrange(3))),
    }
