"""Files that are made anew in their place: never what somebody laid out there to be written into."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def replace_file(path: Path, content: bytes, *, synced: bool = False, among_others: bool = False) -> None:
    """Write a file whole or not at all: who reads meanwhile, or after an interruption, sees the one before.

    Parameters
    ----------
    path, content
        Of the file.
    synced
        So that it is whole after a failure of power, too.
    among_others
        In a folder that is not ours, where ``<path>.tmp`` may be somebody's: it is written under a name of its own.

    Raises
    ------
    OSError
        If the disk is full or not writable; nothing is left beside it.
    """
    # No path: a search writes one of these files between any two trials.
    temporary = f"{path}.{secrets.token_hex(8)}.tmp" if among_others else f"{path}.tmp"
    stream = open_fresh(temporary)
    try:
        with stream:
            stream.write(content)
            if synced:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file piece by piece, so that it is whole or absent whatever happens meanwhile.

    Yields a stream of a file beside it, of a name of its own, which takes the name once the block ends well and all is
    on the disk. When the block fails nothing is left.

    Raises
    ------
    OSError
        If the disk is full or not writable.
    """
    temporary = Path(f"{path}.{secrets.token_hex(8)}.tmp")
    try:
        with open_fresh(temporary) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
