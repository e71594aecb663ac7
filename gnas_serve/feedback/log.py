"""FeedbackLog: the feedback of one process, in a log that all workers of a machine share.

What is acknowledged is on the disk, and stands there once, whatever is killed when. Events that are given while the
disk works are written together, and wait for it once (group commit).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread

from gnas_serve.errors import StorageError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.segments import SEGMENT_BYTES
from gnas_serve.feedback.writer import Entry, Watch, Writer

WINDOW = 1_000_000
"""Among how many latest events of the log a second one of the same id is found out."""
MAX_WAITING = 20_000
"""Events that may wait for the disk in one process; more are refused."""
MAX_GROUP = 4096
"""Events that are written at once, unless a single call brings more."""
PATIENCE_S = 10.0
BUSY = "feedback_busy"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of the events of one call: all are in the log.

    Attributes
    ----------
    is_new
        Of each event whether it was written now. Those that were not had been before, in this call or an earlier one:
        the first event of an id is the one that counts.
    """

    is_new: tuple[bool, ...]

    @property
    def written(self) -> int:
        """How many were written now."""
        return sum(self.is_new)

    @property
    def duplicates(self) -> int:
        """How many had been before."""
        return len(self.is_new) - self.written


@dataclass(frozen=True, slots=True)
class _Waiting:
    entries: tuple[Entry, ...]
    result: Future[Acknowledged]


class FeedbackLog:
    """Takes events, and follows what other processes append.

    Parameters
    ----------
    folder
        Of the log; made where it is absent, for this user alone.
    watch
        Told of every event once: of those that the log holds (the latest ``window``) here, of one's own before they
        are acknowledged, from a thread of the log, and of others' at every append and :meth:`poll`.
    window, segment_bytes
        As of :class:`gnas_serve.feedback.writer.Writer`.

    Raises
    ------
    StorageError, IntegrityError, FormatVersionError
        As :class:`gnas_serve.feedback.writer.Writer`.
    """

    def __init__(self, folder: Path, watch: Watch, *, window: int = WINDOW, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._writer = Writer(folder, watch, window=window, segment_bytes=segment_bytes)
        self._queue: deque[_Waiting] = deque()
        self._num_waiting = 0
        self._is_closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="feedback", daemon=True)
        self._thread.start()

    @property
    def commits(self) -> int:
        """How often this process has waited for the disk."""
        return self._writer.commits

    @property
    def damaged(self) -> int:
        """How many lines of the log were passed over as none of ours."""
        return self._writer.damaged

    def submit(self, events: Sequence[FeedbackEvent]) -> Future[Acknowledged]:
        """Give events to be written; for an event loop, with ``asyncio.wrap_future``.

        Returns
        -------
        Future of Acknowledged
            Done once all are on the disk. It raises StorageError where that failed (``feedback_full`` where there is no
            room): none is acknowledged then, and all may be sent again. Cancelled early, nothing is written.

        Raises
        ------
        RequestError
            If an event is not as it should be: nothing of the call is written.
        StorageError
            If too many events wait already (``feedback_busy``), or the log is closed.
        """
        waiting = _Waiting(tuple(Entry.of(event) for event in events), Future())
        with self._changed:
            if self._is_closed:
                raise StorageError(f"{self._folder}: the feedback log is closed", hint="send the events again later")
            if self._num_waiting + len(waiting.entries) > MAX_WAITING:
                raise StorageError(
                    f"{self._folder}: {self._num_waiting} events wait for the disk",
                    hint="send the events again later",
                    code=BUSY,
                )
            self._num_waiting += len(waiting.entries)
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.result

    def append(self, events: Sequence[FeedbackEvent], *, timeout_s: float = PATIENCE_S) -> Acknowledged:
        """Write events and wait until they are on the disk.

        Raises
        ------
        RequestError, StorageError
            As :meth:`submit` and its future; with the code ``feedback_busy``, too, where the disk or another process
            takes longer than ``timeout_s``. The events may be written then, and can be sent again.
        """
        result = self.submit(events)
        try:
            return result.result(timeout_s)
        except TimeoutError as error:
            raise StorageError(
                f"{self._folder}: the events were not on the disk after {timeout_s:g} s",
                hint="send them again: those that were written are found out",
                code=BUSY,
            ) from error

    def poll(self) -> None:
        """Read what other processes appended, and tell ``watch``; some microseconds where that is nothing.

        Raises
        ------
        StorageError, IntegrityError, FormatVersionError
            If the log cannot be read.
        """
        self._writer.poll()

    def close(self, *, timeout_s: float = PATIENCE_S) -> None:
        """Write what waits, and give all files back."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._writer.close()

    def _work(self) -> None:
        while group := self._next_group():
            try:
                is_new = self._writer.commit([entry for waiting in group for entry in waiting.entries])
            except BaseException as error:  # noqa: BLE001  # told to whoever waits: nobody else would ever hear of it
                for waiting in group:
                    waiting.result.set_exception(error)
                continue
            start = 0
            for waiting in group:
                stop = start + len(waiting.entries)
                waiting.result.set_result(Acknowledged(tuple(is_new[start:stop])))
                start = stop

    def _next_group(self) -> list[_Waiting]:
        """Wait for events and take as many calls as go together; none once the log is closed."""
        group: list[_Waiting] = []
        size = 0
        with self._changed:
            while not group:
                while not self._queue and not self._is_closed:
                    self._changed.wait()
                if not self._queue:
                    return group
                while self._queue and (not group or size + len(self._queue[0].entries) <= MAX_GROUP):
                    waiting = self._queue.popleft()
                    self._num_waiting -= len(waiting.entries)
                    if waiting.result.set_running_or_notify_cancel():
                        group.append(waiting)
                        size += len(waiting.entries)
        return group
