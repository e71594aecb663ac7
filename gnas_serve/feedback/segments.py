"""Segments: the files of a feedback log, numbered from 1 on, each begun by a line that says what it is."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.store import flush
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError, StorageError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.frame import decode

FORMAT_VERSION = 1
SEGMENT_BYTES = 64 << 20
"""A segment that would grow beyond is left, and the next one begun."""
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
FULL = "feedback_full"
_HEADER = b"gnas-serve feedback %d\n"
HEADER = _HEADER % FORMAT_VERSION
_HEADER_OF_ANY_VERSION = re.compile(rb"gnas-serve feedback ([0-9]{1,9})\n")
_NAME = re.compile(r"feedback-([0-9]{8})\.log")
_CHUNK_BYTES = 1 << 22
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# No link is followed, and of a pipe the other end is not waited for.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def log_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses of a log into one clear error.

    Raises
    ------
    StorageError
        With the code ``feedback_full`` where there is no room.
    """
    try:
        yield
    except OSError as error:
        where = path if error.filename is None else os.fsdecode(error.filename)
        is_full = error.errno in _FULL
        raise StorageError(
            f"{where}: the feedback log cannot be used: {error.strerror or error}",
            hint="free some space; then send the events again" if is_full else "see to the folder of the log",
            code=FULL if is_full else "feedback_storage",
        ) from error


def segment_path(folder: Path, number: int) -> Path:
    """Name the file of a segment."""
    return folder / f"feedback-{number:08d}.log"


def segment_numbers(folder: Path) -> list[int]:
    """List the segments of a log, ascending; whatever else lies in its folder is passed over.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)


def require_segments(folder: Path) -> list[int]:
    """List the segments of a log that is only to be read.

    Raises
    ------
    ConfigError
        If there is no log.
    StorageError
        If it cannot be read.
    """
    if not folder.is_dir():
        reason = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder} {reason}", hint="give the folder of a feedback log", code="not_found")
    with log_errors(folder):
        numbers = segment_numbers(folder)
    if not numbers:
        raise ConfigError(
            f"{folder} holds no feedback log: no {segment_path(Path(), 1)}",
            hint="give the folder that GNAS_FEEDBACK names where it serves",
            code="not_found",
        )
    return numbers


def begin_segment(folder: Path, number: int) -> None:
    """Make a segment that is whole from the moment in which anybody sees it; the lock of the log is held.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    replace_file(segment_path(folder, number), HEADER, synced=True)
    flush(folder)


def open_segment(path: Path, *, to_append: bool = False) -> int:
    """Open a segment, and nothing else that may stand in its place.

    Returns
    -------
    int
        A file descriptor, to be closed by the caller.

    Raises
    ------
    IntegrityError, FormatVersionError
        If it is none, or of a newer format.
    OSError
        If it cannot be opened, or is a link.
    """
    descriptor = os.open(path, (os.O_RDWR | os.O_APPEND if to_append else os.O_RDONLY) | _SAFELY)
    try:
        _check_segment(path, descriptor)
        if to_append and hasattr(os, "fchmod"):
            os.fchmod(descriptor, PRIVATE_FILE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_segment(path: Path, descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise IntegrityError(f"{path} is no file", hint="remove it from the folder of the feedback log")
    found = _HEADER_OF_ANY_VERSION.match(os.read(descriptor, 2 * len(HEADER)))
    if found is None:
        raise IntegrityError(
            f"{path} is no segment of a feedback log: it does not begin as one",
            hint="restore it, or move it out of the folder",
        )
    if int(found[1]) > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: format version {int(found[1])} is newer than {FORMAT_VERSION}, the newest that can be read",
            hint="install a newer gnas-serve",
        )


class SegmentReader:
    """Reads one segment from its start, as far as whole lines go.

    Parameters
    ----------
    path
        Of the segment.

    Attributes
    ----------
    offset
        Where the first line that was not read begins.
    damaged
        How many lines before it were none that we write: altered, or laid there by somebody. They are passed over.

    Raises
    ------
    IntegrityError, FormatVersionError, OSError
        As :func:`open_segment`.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = open_segment(path)
        self.offset = len(HEADER)
        self.damaged = 0

    def batches(self) -> Iterator[list[FeedbackEvent]]:
        """Read to the end, some megabytes at a time. What follows the last line feed is left: its rest may come."""
        size_bytes = _CHUNK_BYTES
        while True:
            os.lseek(self._descriptor, self.offset, os.SEEK_SET)
            raw = os.read(self._descriptor, size_bytes)
            end = raw.rfind(b"\n") + 1
            if end:
                lines = raw[: end - 1].split(b"\n")
                events = [event for event in map(decode, lines) if event is not None]
                self.offset += end
                self.damaged += len(lines) - len(events)
                size_bytes = _CHUNK_BYTES
                yield events
            elif len(raw) < size_bytes:
                return
            else:
                size_bytes *= 2  # no line is as long: garbage, to the end or to the line feed behind it

    def count_lines(self) -> int:
        """Count the lines from here to the end of the file, without reading one."""
        os.lseek(self._descriptor, self.offset, os.SEEK_SET)
        count = 0
        while raw := os.read(self._descriptor, _CHUNK_BYTES):
            count += raw.count(b"\n")
        return count

    @property
    def torn_bytes(self) -> int:
        """How many bytes follow what was read; below 0 where somebody made the file shorter than that.

        Once :meth:`batches` has ended and while nobody writes, they are what an interrupted append left.
        """
        return os.lseek(self._descriptor, 0, os.SEEK_END) - self.offset

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)
