"""A file that is made anew in its place, whatever stood there: never one that somebody laid out to be written into."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def open_fresh(path: str | Path, *, buffering: int = -1) -> BinaryIO:
    """Make a file for writing; a file, link or pipe of that name is removed first, and no link is followed.

    Parameters
    ----------
    path
        A name that is ours, and may be left of a process that was killed.
    buffering
        As of :func:`open`.

    Raises
    ------
    OSError
        If it cannot be made: the folder is not writable, or a folder has the name.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  # no path: see replace_file
    # What comes between the two is refused: "x" makes a file that was not there, and a link is there.
    return open(path, "xb", buffering=buffering)  # noqa: PTH123
