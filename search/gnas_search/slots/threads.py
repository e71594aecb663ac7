"""The processor's threads, and the share of them that each of several slots has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def share_of(slots: int) -> int:
    """Say how many threads each of so many slots has, of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // slots)


def use_threads(count: int) -> None:
    """Compute on so many threads from now on."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    threadpool_limits(count)


@contextmanager
def threads_of_a_slot(slots: int) -> Iterator[None]:
    """Compute, within the block, on as many threads as one of so many slots has; one alone is in this process."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    if slots == 1:
        yield
        return
    before = torch.get_num_threads(), numba.get_num_threads()
    with threadpool_limits():
        use_threads(share_of(slots))
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            numba.set_num_threads(before[1])
