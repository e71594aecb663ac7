"""The threads in which grpcio reads and writes beside the event loop, kept out of its way.

Of each call several events come from them, and each wakes a thread that takes the core from the one that answers: on
one core that is a seventh of what a call costs, the recommendation included.
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
_STEP = 10


@contextlib.contextmanager
def stepping_back() -> Iterator[None]:
    """Let threads that are started meanwhile give way to this one, which has the work of the calls, on its own core.

    They run when it waits for something: what has come by then is told at once. On a core of their own they run as
    before. Where a system does not know priorities of threads, nothing changes.
    """
    before = set(threading.enumerate())
    yield
    if sys.platform != "linux":
        return
    for thread in set(threading.enumerate()) - before:
        if thread.native_id is not None:
            with contextlib.suppress(OSError):
                own = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, thread.native_id, own + _STEP)
