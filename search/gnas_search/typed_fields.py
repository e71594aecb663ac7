"""Fields of specs as JSON has them: each of the type that is meant, or refused by its name."""

from __future__ import annotations

from typing import TypeVar

from gnas_serve.errors import ConfigError

_T = TypeVar("_T", str, bool, int, float)


def read_field(name: str, value: object, kind: type[_T]) -> _T:
    """Give a field's value; a whole number may stand for a float, and nothing else for anything else.

    Raises
    ------
    ConfigError
        If it is of another type.
    """
    if kind is float and type(value) is int:
        try:
            return kind(value)
        except OverflowError:
            raise ConfigError(f"{name}: a number of {len(str(value))} digits", hint="mend the spec") from None
    if type(value) is not kind:
        raise ConfigError(f"{name}: {value!r} is not a {kind.__name__}", hint="mend the spec")
    return value
