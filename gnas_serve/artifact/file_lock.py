"""A lock that the operating system drops when its holder dies: one writer of a folder at a time."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def try_lock(stream: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; give up at once where another process has it.

    Parameters
    ----------
    shared
        With others who want no more than to look.

    Raises
    ------
    OSError
        If the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


class TurnLock:
    """A lock that processes take in turns, for a moment each: whoever wants it waits in the operating system's queue.

    Parameters
    ----------
    path
        Of the lock file, made where it is absent; no link is followed.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = self._open()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and have it within the block.

        Raises
        ------
        OSError
            If the file system has no locks, or the file is gone and cannot be made again.
        """
        descriptor = self._taken()
        try:
            yield
        finally:
            _give_back(descriptor)

    def close(self) -> None:
        """Give the file back; it stays, for others."""
        # Forgotten first: the number is soon another file's.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _taken(self) -> int:
        """Lock the file that is there: of one that was removed meanwhile, others lock what stands in its place."""
        while True:
            if self._descriptor is None:
                self._descriptor = self._open()
            _take(self._descriptor)
            if self._is_there(self._descriptor):
                return self._descriptor
            self.close()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self._path))
        except FileNotFoundError:
            return False


def _take(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _give_back(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
