"""SIGHUP: what is served is read again, by every worker of a server.

The signal is blocked in the process that starts the workers, and so it is in them from their birth on: a worker that
is told while it still loads finds it waiting, where it would have ended by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType

from gnas_serve.errors import GnasError

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep the signal waiting for this thread, and for good for the processes that it starts within."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pass_on() -> None:
    """Hand each SIGHUP on to all children of this process; to be called before there are any."""
    if hasattr(signal, "SIGHUP"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        threading.Thread(target=_pass_on, name="hangups", daemon=True).start()


def _pass_on() -> None:
    import psutil  # comes with BentoML

    while True:
        signal.sigwait({signal.SIGHUP})
        for worker in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGHUP)


class Hangups:
    """Has a worker read again what it serves, each time that it is told to; those that come meanwhile are one.

    Parameters
    ----------
    renew
        What is done.
    """

    def __init__(self, renew: Callable[[], Awaitable[None]]) -> None:
        self._renew = renew
        self._told = asyncio.Event()
        self._attending: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin; in the main thread, with a running event loop."""
        if hasattr(signal, "SIGHUP"):
            loop = asyncio.get_running_loop()

            def on_signal(_number: int, _frame: FrameType | None) -> None:
                loop.call_soon_threadsafe(self._told.set)

            self._attending = asyncio.ensure_future(self._attend())
            signal.signal(signal.SIGHUP, on_signal)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def close(self) -> None:
        """Take no more notice of it."""
        if self._attending is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._attending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._attending

    async def _attend(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self._renew()
            except GnasError as error:
                _log.error("SIGHUP: all goes on as before: %s", error)
            except Exception as error:  # noqa: BLE001  # a boundary: whatever it is, what is served goes on
                _log.error("SIGHUP: all goes on as before", exc_info=error)
