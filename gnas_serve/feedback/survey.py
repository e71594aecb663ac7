"""Survey: what a feedback log holds, each event once, as interactions that a training reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path

from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.segments import SegmentReader, log_errors, require_segments, segment_path
from gnas_serve.feedback.window import DigestWindow
from gnas_serve.vocabulary import Id


@dataclass(frozen=True)
class IdKinds:
    """The ids of one column, counted by what they are.

    Attributes
    ----------
    integers
        Sent as numbers.
    decimals
        Sent as text that is the decimal form of a 64-bit integer.
    texts
        Any other text.
    """

    integers: int = 0
    decimals: int = 0
    texts: int = 0

    @property
    def is_text(self) -> bool:
        """Whether the column is text: decimal text beside numbers alone is a number, as it is at the doors."""
        return self.texts > 0 or self.integers == 0

    def typed(self, value: Id) -> Id:
        """Give an id in the type of its column."""
        return str(value) if self.is_text else int(value)


@dataclass(frozen=True)
class Survey:
    """What a log held when it was looked at.

    Attributes
    ----------
    folder
        Of the log.
    segments
        Numbers of its segments, ascending.
    size_bytes
        Of all segments.
    records
        Events in it, those of one id each for itself.
    is_first : (records,) of 0 and 1
        Which of them are the first of their id.
    damaged
        Lines that are none of ours.
    torn_bytes
        What follows the last whole line: an append that is under way, or what an interrupted one left.
    first, last
        The earliest and the latest time, in seconds since 1970; None of an empty log.
    kinds
        Events of each kind, every id once.
    users, items
        What ids there are.
    has_values
        Whether any event has a value.
    """

    folder: Path
    segments: tuple[int, ...]
    size_bytes: int
    records: int
    is_first: bytes
    damaged: int
    torn_bytes: int
    first: float | None
    last: float | None
    kinds: dict[str, int]
    users: IdKinds
    items: IdKinds
    has_values: bool

    @property
    def num_events(self) -> int:
        """Distinct events."""
        return sum(self.kinds.values())

    def events(self) -> Iterator[FeedbackEvent]:
        """Read the events again, each id once, without what was appended since.

        Raises
        ------
        StorageError, IntegrityError, FormatVersionError
            If the log cannot be read.
        """
        with log_errors(self.folder):
            recorded = (event for reader in _readers(self.folder, self.segments) for event in _all(reader))
            yield from compress(islice(recorded, self.records), self.is_first)


def survey(folder: Path) -> Survey:
    """Look through a log, also while it is being written.

    Parameters
    ----------
    folder
        Of the log.

    Raises
    ------
    ConfigError
        If there is no log.
    StorageError, IntegrityError, FormatVersionError
        If it cannot be read.
    """
    numbers = tuple(require_segments(folder))
    size_bytes = damaged = torn_bytes = 0
    is_first = bytearray()
    times = (float("inf"), float("-inf"))
    kinds: Counter[str] = Counter()
    ids: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    has_values = False
    with log_errors(folder):
        lines = sum(reader.count_lines() for reader in _readers(folder, numbers))
        known = DigestWindow(lines + lines // 8 + 1000)  # what is appended meanwhile has room, too
        for reader in _readers(folder, numbers):
            for event in _all(reader):
                is_first.append(known.add(event.digest))
                if not is_first[-1]:
                    continue
                kinds[event.event] += 1
                times = min(times[0], event.timestamp), max(times[1], event.timestamp)
                has_values = has_values or event.value is not None
                for counter, value in zip(ids, (event.user_id, event.item_id), strict=True):
                    counter[_kind(value)] += 1
            size_bytes += reader.offset + max(reader.torn_bytes, 0)
            damaged += reader.damaged
            torn_bytes += max(reader.torn_bytes, 0)
    users, items = (IdKinds(**counter) for counter in ids)
    return Survey(
        folder=folder,
        segments=numbers,
        size_bytes=size_bytes,
        records=len(is_first),
        is_first=bytes(is_first),
        damaged=damaged,
        torn_bytes=torn_bytes,
        first=times[0] if kinds else None,
        last=times[1] if kinds else None,
        kinds=dict(sorted(kinds.items())),
        users=users,
        items=items,
        has_values=has_values,
    )


def _readers(folder: Path, numbers: tuple[int, ...]) -> Iterator[SegmentReader]:
    for number in numbers:
        reader = SegmentReader(segment_path(folder, number))
        try:
            yield reader
        finally:
            reader.close()


def _all(reader: SegmentReader) -> Iterator[FeedbackEvent]:
    for events in reader.batches():
        yield from events


def _kind(value: Id) -> str:
    if not isinstance(value, str):
        return "integers"
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return "texts"
    number = int(value)
    return "decimals" if str(number) == value and -(2**63) <= number < 2**63 else "texts"
