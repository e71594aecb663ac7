"""The threads in which grpcio reads and writes beside the event loop, kept out of its way.

Of each call several events come from them, and each wakes a thread that takes the core from the one that answers, and
tells the loop of one thing alone. On one core that is a third of what a call costs, the recommendation included.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

EXPERIMENTS, ONE_THREAD = "GRPC_EXPERIMENTS", "-event_engine_listener"
"""A variable of grpcio's, and the value by which connections are attended by the thread that tells the event loop,
not by a pool of four beside it. It is looked at once in a process, so the service's environment has it."""


@contextlib.contextmanager
def stepping_back() -> Iterator[None]:
    """Let threads that are started meanwhile take no core from a thread that works as they wake.

    They have their share of a core as before, and run at once on one that is free; on a core where the event loop is
    at work they begin when it waits for something, and by then tell it of all that has come. Where a system does not
    know such threads (``SCHED_BATCH``), nothing changes.
    """
    before = set(threading.enumerate())
    yield
    if sys.platform != "linux":
        return
    for thread in set(threading.enumerate()) - before:
        if thread.native_id is not None:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread.native_id, os.SCHED_BATCH, os.sched_param(0))
