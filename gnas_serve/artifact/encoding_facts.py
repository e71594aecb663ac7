"""What a manifest says of how users' features become the columns that a ranker reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnas_serve.artifact.kinds import NUMBER, WORDS
from gnas_serve.artifact.segment_facts import is_number

_MOST = 3e38  # what a column of float32 can hold


@dataclass(frozen=True)
class NumberEncoding:
    """A number, in one column: a line between what the least and the greatest of the known users are.

    Attributes
    ----------
    name
        Of the feature, as in the data.
    column
        Of the ranker's table of users.
    low, high
        Of the known users; what is beyond counts as these.
    first, last
        What stands in the column for them.
    """

    name: str
    column: int
    low: float
    high: float
    first: float
    last: float

    @property
    def columns(self) -> tuple[int, ...]:
        """The column, as a list."""
        return (self.column,)

    @property
    def slope(self) -> float:
        """What stands in the column rises by so much with the number."""
        return (self.last - self.first) / (self.high - self.low) if self.high > self.low else 0.0

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        ends = {"low": self.low, "high": self.high, "first": self.first, "last": self.last}
        return {"name": self.name, "kind": NUMBER, "column": self.column} | ends


@dataclass(frozen=True)
class WordsEncoding:
    """A text, in a column of 0 and 1 for each word that is told apart.

    Attributes
    ----------
    name
        Of the feature, as in the data.
    delimiter
        Between the words of a text; None where the whole text is one.
    words
        Each once; other words stand nowhere.
    columns
        Of the ranker's table of users, one for each word.
    """

    name: str
    delimiter: str | None
    words: tuple[str, ...]
    columns: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        places = {"words": list(self.words), "columns": list(self.columns)}
        return {"name": self.name, "kind": WORDS, "delimiter": self.delimiter} | places


FeatureEncoding = NumberEncoding | WordsEncoding


def feature_encodings(raw: Any) -> tuple[FeatureEncoding, ...]:
    """Read and check the encodings of a manifest, in their order.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are none, or two have one name or column.
    """
    found = tuple(_encoding(one) for one in raw)
    columns = [column for encoding in found for column in encoding.columns]
    if len({encoding.name for encoding in found}) < len(found) or len(set(columns)) < len(columns):
        raise ValueError("two encoded user features have one name or one column")
    return found


def _encoding(raw: Any) -> FeatureEncoding:
    name = raw["name"]
    if not isinstance(name, str):
        raise TypeError(f"name of an encoded user feature is no text: {name!r}")
    if raw["kind"] == NUMBER:
        ends = [raw[one] for one in ("low", "high", "first", "last")]
        is_line = all(is_number(one) for one in ends) and ends[0] <= ends[1] and max(map(abs, ends[2:])) < _MOST
        if not is_line or not _are_columns([raw["column"]]):
            raise ValueError(f"encoded user feature {name!r} is no line between two numbers of a column")
        return NumberEncoding(name, raw["column"], *map(float, ends))
    if raw["kind"] != WORDS:
        raise ValueError(f"encoded user feature {name!r} is of kind {raw['kind']!r}, expected {NUMBER} or {WORDS}")
    words, columns, delimiter = raw["words"], raw["columns"], raw["delimiter"]
    if not _are_columns(columns) or len(columns) != len(words) or len(set(words)) < len(words):
        raise ValueError(f"encoded user feature {name!r} does not have a column for each word")
    if not all(isinstance(word, str) for word in words) or not (delimiter is None or _is_delimiter(delimiter)):
        raise ValueError(f"encoded user feature {name!r} has words or a delimiter that are no text")
    return WordsEncoding(name, delimiter, tuple(words), tuple(columns))


def _are_columns(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _is_delimiter(value: object) -> bool:
    return isinstance(value, str) and value != ""
