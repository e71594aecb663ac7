"""Values that several commands take, and their bounds."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import plain_text

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNIT_S = {"ms": 1e-3, "s": 1.0, "m": 60.0}
_SHOWN = 40
MAX_SEED = 2**32 - 1
"""Of every ``--seed``: some of what is seeded keeps 32 bits."""


def microseconds(text: str | float) -> float:
    """Read a number of microseconds, which has no unit; whether it is one of a time is for others to say.

    Raises
    ------
    typer.BadParameter
        If it is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number of microseconds: give 1000 for 1 ms") from error


def byte_count(text: str | int) -> int:
    """Read a number of bytes, which has no unit; as of :func:`microseconds`.

    Raises
    ------
    typer.BadParameter
        If it is no whole number.
    """
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no whole number of bytes: give 1000000 for 1 MB") from error


def output_path(text: str | Path) -> Path:
    """Read the path of something to make; an empty one, as from an unset shell variable, is not the current folder.

    Raises
    ------
    typer.BadParameter
        If it is empty.
    """
    if not str(text):
        raise typer.BadParameter("the path is empty")
    return Path(text)


def time_span(text: str, *, flag: str, most_s: float) -> float:
    """Read a time with its unit.

    Parameters
    ----------
    flag
        Whose value it is, for the message.
    most_s
        Its upper bound in seconds.

    Raises
    ------
    ConfigError
        If it is none.
    """
    written = _SPAN.fullmatch(text)
    found = float(written[1]) * _UNIT_S[written[2]] if written else -1.0
    if not 0 <= found <= most_s:
        raise ConfigError(
            f"{flag} {plain_text(text[:_SHOWN])!r} is no time up to {most_s:g} s",
            hint="write a number and ms, s or m: 500ms, 10s, 2m",
        )
    return found
