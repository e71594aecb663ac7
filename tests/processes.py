"""Processes that may end while they are looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def words_of(process: psutil.Process) -> list[str]:
    """Give the words that started a process, none where it has ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


def kill(process: psutil.Process) -> None:
    """End a process, if its end was not quicker: many end with the one that started them."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def still_alive(processes: Iterable[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Wait until some processes have ended, children or not, and give those that have not after so long.

    One that nobody has asked for its status yet has ended: in a container, the first process may ask for none.
    """
    latest = time.monotonic() + limit_s
    while (left := [one for one in processes if _is_alive(one)]) and time.monotonic() < latest:
        time.sleep(0.02)
    return left


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    return False
