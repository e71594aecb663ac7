"""Values as a question tells them of a user or an item: read in the type that the model knows them in, or refused."""

from __future__ import annotations

from collections.abc import Sequence

from gnas_serve.artifact.kinds import NUMBER, TEXT, WORDS
from gnas_serve.errors import FeatureError
from gnas_serve.plain_text import listed, plain_text

FeatureValue = str | float | bool | None
"""What is told of a user under the name of a feature; None where it is unknown."""
Features = tuple[tuple[str, FeatureValue], ...]
ItemValue = FeatureValue | tuple[str, ...]
"""What is told of an item under the name of an attribute: as of a user, or a list of texts."""
TypedValue = float | str | tuple[str, ...] | None
"""A value in the type of its attribute: a number, a text or a list of texts; None where it is unknown."""

MAX_SHOWN = 40
"""Characters of a name or a value that a caller sent, where it is shown to them again."""
_EXPECTED = {
    NUMBER: "a number (a time in seconds since 1970) or true or false",
    TEXT: "a text",
    WORDS: "a list of texts",
}
_TRUTHS = {"true": 1.0, "false": 0.0}


def typed(kind: str, value: ItemValue, *where: str) -> TypedValue:
    """Read a value as the data is read: a number from its text, a text from a number, a list from one text.

    Parameters
    ----------
    kind
        Of the attribute or feature, see :mod:`gnas_serve.artifact.kinds`.
    value
        As it is told; an empty text is unknown.
    where
        What it is told of, for the error: ``"item_features", "new-1", "price"``.

    Raises
    ------
    FeatureError
        With code ``"wrong_type"``, if it is not of that kind.
    """
    if value is None or value == "":
        return None
    found: TypedValue = None
    if kind == WORDS:
        found = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else None
    elif not isinstance(value, tuple):
        found = as_number(value) if kind == NUMBER else as_text(value)
    if found is None:
        place = ".".join(plain_text(part[:MAX_SHOWN]) for part in where)
        raise FeatureError(
            f"{place}: expected {_EXPECTED[kind]}, found {_found(value)}",
            hint="tell it in its type, or leave it out where it is not known",
            code="wrong_type",
        )
    return found


def as_text(value: FeatureValue) -> str | None:
    """Read a text, also from a number as the data is read; None where nothing is known."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    number = as_number(value)
    return None if number is None else str(int(number)) if number.is_integer() else repr(number)


def as_number(value: FeatureValue) -> float | None:
    """Read a number, also from its text and from yes and no, as the data is read; None where it is none."""
    if value is None:
        return None
    if isinstance(value, str):
        if (truth := _TRUTHS.get(value.strip().lower())) is not None:
            return truth
        if not value.isascii() or "_" in value:
            return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def shown(text: str) -> str:
    """Show what a caller sent, in quotes, and not much of it; what would steer a terminal is spelled out."""
    return repr(text[:MAX_SHOWN])


def named(names: Sequence[str]) -> str:
    """List names that others gave, none of them at length."""
    return listed([plain_text(name[:MAX_SHOWN]) for name in names])


def known_names(names: tuple[str, ...]) -> str:
    """Name what a model knows, for a hint."""
    return f"known: {named(names)}"


def _found(value: ItemValue) -> str:
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, str):
        return shown(value)
    try:
        return str(value).lower() if isinstance(value, bool) or value is None else f"{value:g}"
    except OverflowError:
        return "a huge number"
