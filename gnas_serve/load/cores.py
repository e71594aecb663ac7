"""Cores: server and client each on one of their own, so that neither takes time from the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def two_cores() -> tuple[int, int] | None:
    """Choose a core for the server and one for the client.

    Returns
    -------
    tuple or None
        None where this process may use one core alone, or the system does not hold processes to cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    mine = sorted(os.sched_getaffinity(0))
    return (mine[0], mine[1]) if len(mine) > 1 else None


@contextmanager
def held_to(core: int | None) -> Iterator[None]:
    """Hold this thread, and what it starts meanwhile, to one core; with None to nothing."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
