"""Values that several commands take, and their bounds."""

from __future__ import annotations

from pathlib import Path

import typer

MAX_SEED = 2**32 - 1
"""Of every ``--seed``: some of what is seeded keeps 32 bits."""


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
