"""SignalHold: what asks a search to end waits while it writes its study down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_ASKING_TO_END = (signal.SIGINT, signal.SIGTERM)


class SignalHold:
    """Holds SIGINT and SIGTERM back within a ``with`` block, but for the parts of it that are :meth:`released`.

    An exception out of a signal handler may come between any two instructions: between taking and giving back the
    lock of a journal, say. What may be interrupted anywhere is training; the rest takes milliseconds.

    Outside the main thread, where Python runs no handler, nothing is changed.
    """

    def __init__(self) -> None:
        self._handlers: dict[signal.Signals, Any] = {}
        self._arrived: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> Self:
        """Begin to hold."""
        self._hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hold no longer, and let through what came, unless something else is ending the block already."""
        self._release(deliver=kind is None)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let through what came so far and what comes within the block."""
        try:
            self._release(deliver=True)
            yield
        finally:
            self._hold()

    def _hold(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in _ASKING_TO_END:
                self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append((number, frame))

    def _release(self, *, deliver: bool) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        arrived, self._arrived = self._arrived, []
        if deliver and arrived:
            first, frame = arrived[0]
            wanted = handlers[signal.Signals(first)]
            if callable(wanted):
                wanted(first, frame)
            elif wanted == signal.SIG_DFL:
                signal.raise_signal(first)
