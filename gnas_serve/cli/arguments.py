"""Values that several commands take, and their bounds."""

from __future__ import annotations

from pathlib import Path

import typer

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
