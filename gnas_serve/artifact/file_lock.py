"""A lock that the operating system drops when its holder dies: one writer of a folder at a time."""

from __future__ import annotations

import sys
from typing import IO, Any


def try_lock(stream: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; give up at once where another process has it.

    Parameters
    ----------
    shared
        With others who want no more than to look.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
