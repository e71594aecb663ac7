"""Tail: a feedback log followed by one process, whichever process appends to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.segments import SegmentReader, segment_path


class Tail:
    """Follows a log from the start of a segment on, from one segment to the next.

    Bytes behind the last whole line are looked at anew each time: they are an append that is under way, or what an
    interrupted one left. Nothing is ever appended behind the latter, so that both look the same to all readers.

    Parameters
    ----------
    folder
        Of the log.
    number
        The segment to begin with.

    Raises
    ------
    IntegrityError, FormatVersionError, OSError
        As :func:`gnas_serve.feedback.segments.open_segment`.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._damaged_before = 0
        self._begin(number)

    @property
    def damaged(self) -> int:
        """How many lines were passed over as none of ours."""
        return self._damaged_before + self.reader.damaged

    def has_news(self) -> bool:
        """Tell whether a poll would find anything: two calls of the system."""
        return self.reader.torn_bytes != 0 or os.access(self._next, os.F_OK)

    def poll(self) -> Iterator[list[FeedbackEvent]]:
        """Give what was appended since the last call, by any process.

        Raises
        ------
        IntegrityError, FormatVersionError, OSError
            If the next segment cannot be opened.
        """
        # Asked before the last look at this one: to a segment nothing is appended once the next is there.
        while os.access(self._next, os.F_OK):
            yield from self.reader.batches()
            self.follow(self.number + 1)
        if self.reader.torn_bytes > 0:
            yield from self.reader.batches()

    def follow(self, number: int) -> None:
        """Leave this segment for a later one."""
        left = self.reader
        damaged = self.damaged
        self._begin(number)
        self._damaged_before = damaged
        left.close()

    def skip(self, size_bytes: int) -> None:
        """Pass over what this process itself appended."""
        self.reader.offset += size_bytes

    def close(self) -> None:
        """Give the file back."""
        self.reader.close()

    def _begin(self, number: int) -> None:
        self.reader = SegmentReader(segment_path(self._folder, number))
        self.number = number
        self._next = str(segment_path(self._folder, number + 1))


def replay(folder: Path, numbers: list[int], count: int) -> Iterator[list[FeedbackEvent]]:
    """Read the latest events of some segments, oldest first.

    Parameters
    ----------
    folder
        Of the log.
    numbers
        Its segments, ascending.
    count
        How many; fewer where lines are damaged.

    Raises
    ------
    IntegrityError, FormatVersionError, OSError
        As :func:`gnas_serve.feedback.segments.open_segment`.
    """
    wanted: list[int] = []
    for number in reversed(numbers):
        if count <= 0:
            break
        wanted.append(number)
        count -= lines_of(folder, number)
    surplus = -count  # lines of the first one
    for number in reversed(wanted):
        reader = SegmentReader(segment_path(folder, number))
        try:
            for events in reader.batches():
                yield events[surplus:] if surplus > 0 else events
                surplus -= len(events)
        finally:
            reader.close()


def lines_of(folder: Path, number: int) -> int:
    """Count the lines of a segment, damaged ones too, without reading them one by one."""
    reader = SegmentReader(segment_path(folder, number))
    try:
        return reader.count_lines()
    finally:
        reader.close()
