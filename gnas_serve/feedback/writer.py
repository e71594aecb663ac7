"""Writer: events into the log of a folder, whole, once, and on the disk before anybody is told so."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from gnas_serve.artifact.file_lock import TurnLock
from gnas_serve.errors import StorageError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.frame import encode
from gnas_serve.feedback.segments import (
    HEADER,
    PRIVATE_FOLDER,
    begin_segment,
    log_errors,
    open_segment,
    segment_numbers,
    segment_path,
)
from gnas_serve.feedback.tail import Tail, replay
from gnas_serve.feedback.window import DigestWindow

if sys.platform == "darwin":
    import fcntl

LOCK = "log.lock"
Watch = Callable[[Sequence[FeedbackEvent]], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that was checked, in the forms in which it is looked for and written."""

    event: FeedbackEvent
    digest: bytes
    line: bytes

    @classmethod
    def of(cls, event: FeedbackEvent) -> Entry:
        """Check an event.

        Raises
        ------
        RequestError
            Naming the field.
        """
        event.check()
        return cls(event, event.digest, encode(event))


class Writer:
    """Appends for one process to a log that several share.

    Parameters
    ----------
    folder
        Made where it is absent.
    watch
        Told of every event once, in the order of the log: at first of the latest ``window`` of the log, then of what
        this process and all others append. Called from the thread that commits, polls or makes this.
    window
        Among how many latest events a second one of the same id is found out.
    segment_bytes
        The size of a segment that no second group of events makes larger.

    Attributes
    ----------
    commits
        How often the disk was waited for.

    Raises
    ------
    StorageError
        If the folder cannot be used, or is not private: a link, of another user, or writable by others.
    IntegrityError, FormatVersionError
        If a file in it has the name of a segment and is none, or is of a newer format.
    """

    def __init__(self, folder: Path, watch: Watch, *, window: int, segment_bytes: int) -> None:
        self._folder = folder
        self._watch = watch
        self._segment_bytes = segment_bytes
        self._window = DigestWindow(window)
        self._mutex = Lock()
        self._is_suspect = False
        self.commits = 0
        with log_errors(folder):
            make_private(folder)
            self._lock = TurnLock(folder / LOCK)
            with self._lock.held():
                numbers = segment_numbers(folder)
                if not numbers:
                    begin_segment(folder, 1)
                    numbers = [1]
            # All but the last segment are as they will be, and the tail begins with the last.
            self._tail = Tail(folder, numbers[-1])
            self._descriptor = open_segment(segment_path(folder, numbers[-1]), to_append=True)
            self._number = numbers[-1]
            for events in replay(folder, numbers[:-1], window - self._tail.reader.count_lines()):
                self._take_note(events)
            self._catch_up()

    @property
    def damaged(self) -> int:
        """How many lines of the segments read since the start were passed over as none of ours."""
        return self._tail.damaged

    def commit(self, entries: Sequence[Entry]) -> list[bool]:
        """Write what is not in the log yet, and wait for the disk.

        Returns
        -------
        list of bool
            For every entry whether it was written; False where the log has its id already, on the disk.

        Raises
        ------
        StorageError
            If it cannot be written: with the code ``feedback_full`` where there is no room. Nothing of it is to be
            acknowledged; some of it may be in the log, whole, and is found out when it is sent again.
        """
        with self._mutex, log_errors(self._folder), self._lock.held():
            self._catch_up()
            fresh: dict[bytes, Entry] = {}
            is_new = []
            for entry in entries:
                is_new.append(entry.digest not in self._window and entry.digest not in fresh)
                if is_new[-1]:
                    fresh[entry.digest] = entry
            self._append(b"".join(entry.line for entry in fresh.values()))
            self._take_note([entry.event for entry in fresh.values()])
        return is_new

    def poll(self) -> None:
        """Read what other processes appended; nothing where a commit is under way, which does the same.

        Raises
        ------
        StorageError, IntegrityError, FormatVersionError
            If the log cannot be read.
        """
        if self._mutex.acquire(blocking=False):
            try:
                if self._tail.has_news():
                    with log_errors(self._folder):
                        self._catch_up()
            finally:
                self._mutex.release()

    def close(self) -> None:
        """Give all files back."""
        with self._mutex:
            self._tail.close()
            self._lock.close()
            os.close(self._descriptor)

    def _catch_up(self) -> None:
        for events in self._tail.poll():
            self._take_note(events)

    def _take_note(self, events: Sequence[FeedbackEvent]) -> None:
        noted = [event for event in events if self._window.add(event.digest)]
        if noted:
            self._watch(noted)

    def _append(self, content: bytes) -> None:
        """Write whole lines behind whole lines; the lock is held, and the tail is at the end."""
        self._settle(len(content))
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]
        try:
            # Where nothing is new, too: whoever wrote it may have died before it was on the disk.
            _sync(self._descriptor)
        except OSError:
            # The system may take its pages for written ever after: what is sent again goes into another file.
            self._is_suspect = True
            raise
        finally:
            self._tail.skip(len(content))
        self.commits += 1

    def _settle(self, size_bytes: int) -> None:
        """Make sure that the segment at the end is one to append to; else begin the next.

        Nothing follows what an interrupted append left, not even in its place when it is cut off: somebody may be
        reading it. So the next segment begins before the cut.
        """
        if self._number != self._tail.number:
            self._open_last()
        torn = self._tail.reader.torn_bytes
        is_long = self._tail.reader.offset + size_bytes > self._segment_bytes and self._tail.reader.offset > len(HEADER)
        if not (torn or is_long or self._is_suspect or self._is_gone()):
            return
        if not self._is_suspect:
            _sync(self._descriptor)
        number = self._number + 1  # absent: the tail is at the end
        begin_segment(self._folder, number)
        if torn > 0:
            os.ftruncate(self._descriptor, self._tail.reader.offset)
        self._tail.follow(number)
        self._open_last()
        self._is_suspect = False

    def _open_last(self) -> None:
        """Append to the segment that the tail has reached."""
        descriptor = open_segment(segment_path(self._folder, self._tail.number), to_append=True)
        os.close(self._descriptor)
        self._descriptor, self._number = descriptor, self._tail.number

    def _is_gone(self) -> bool:
        """Tell whether somebody removed the segment, or put another file in its place."""
        with suppress(FileNotFoundError):
            return not os.path.samestat(os.fstat(self._descriptor), os.lstat(segment_path(self._folder, self._number)))
        return True


def check_folder(folder: Path) -> None:
    """Make sure that a log can be kept in a folder; it is made where it is absent.

    Raises
    ------
    StorageError
        As :class:`Writer`.
    """
    with log_errors(folder):
        make_private(folder)
        TurnLock(folder / LOCK).close()


def _sync(descriptor: int) -> None:
    """Wait until what was written to a file is on the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the memory of the disk there
    elif sys.platform == "win32":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def make_private(folder: Path) -> None:
    """Make the folder of a log, and refuse one that others may write to.

    Raises
    ------
    StorageError
        If it is a link, belongs to another user, or is writable by others.
    OSError
        If it cannot be made.
    """
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found = folder.lstat()
    reason = "is a link" if folder.is_symlink() else ""
    if sys.platform != "win32":
        if found.st_uid != os.geteuid():
            reason = reason or "belongs to another user"
        if found.st_mode & 0o022:
            reason = reason or "is writable by others"
    if reason:
        raise StorageError(
            f"{folder} {reason}: who did what is not kept there",
            hint="name a folder inside of it, which is made as it has to be",
            code="feedback_storage",
        )
