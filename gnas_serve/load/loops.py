"""The two ways to ask a server: in a closed loop, and in an open one.

In a closed loop a caller that waits asks nothing meanwhile: a server that stalls for a second is asked little in that
second, and the stall stands in a handful of latencies ("coordinated omission"). An open loop goes on by the clock, as
users do, and counts from the moment at which each request was to start, however long it had to wait for a connection.

References
----------
Schroeder, Wierman, Harchol-Balter: Open Versus Closed: A Cautionary Tale. NSDI 2006.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from time import perf_counter

import numpy as np

from gnas_serve.load.arrivals import poisson_arrivals
from gnas_serve.load.lane import CLOSED, REPLY_LIMIT_S, UNREACHABLE, UNSENT, Lane, Reply
from gnas_serve.load.plan import MAX_CONNECTIONS, LoadPlan
from gnas_serve.load.tally import Tally

# Timers of the loop are exact to a millisecond: what is left of a wait is spent looking at the clock, between replies.
_TIMER_S = 0.002
_BACK_OFF_S = 0.05
_BLOCK = 4096
_ARRIVALS_STREAM, _QUESTIONS_STREAM = 1, 2  # of one seed: the same users at every rate


class Questions:
    """What is asked, drawn evenly and independently.

    Parameters
    ----------
    pool
        Questions as they go over the wire.
    seed
        Of the draw.
    """

    def __init__(self, pool: list[bytes], seed: int) -> None:
        self.pool = pool
        self._drawn = self._draw(np.random.default_rng([seed, _QUESTIONS_STREAM]))

    def next(self) -> int:
        """Draw one, and give its place in the pool."""
        return next(self._drawn)

    def _draw(self, rng: np.random.Generator) -> Iterator[int]:
        while True:
            yield from rng.integers(0, len(self.pool), _BLOCK).tolist()


async def closed_loop(
    open_lane: Callable[[], Lane], questions: Questions, plan: LoadPlan, at_begin: Callable[[], Awaitable[None]]
) -> Tally:
    """Let each of ``plan.concurrency`` callers ask again as soon as it is answered.

    Parameters
    ----------
    open_lane
        Makes a connection.
    at_begin
        Called when the warm-up is over.
    """
    begin = perf_counter() + plan.warm_up_s
    end = begin + plan.duration_s
    tally = Tally(begin)
    left = plan.requests

    async def ask_on(lane: Lane) -> None:
        nonlocal left
        while (start := perf_counter()) < end and left != 0:
            if left is not None and start >= begin:
                left -= 1
            place = questions.next()
            reply = await lane.ask(questions.pool[place])
            tally.add(start, perf_counter(), place, reply)
            if reply.status in {CLOSED, UNREACHABLE}:
                await asyncio.sleep(_BACK_OFF_S)  # a server that is gone is not to be asked as fast as can be

    lanes = [open_lane() for _ in range(plan.concurrency)]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_after(plan.warm_up_s, at_begin))
            for lane in lanes:
                group.create_task(ask_on(lane))
    finally:
        await _close(lanes)
    return tally


async def open_loop(
    open_lane: Callable[[], Lane],
    questions: Questions,
    plan: LoadPlan,
    rate: float,
    at_begin: Callable[[], Awaitable[None]],
    connections: int = MAX_CONNECTIONS,
) -> Tally:
    """Ask at the times of a Poisson process, by as many connections as that takes.

    Parameters
    ----------
    open_lane
        Makes a connection.
    rate
        Mean requests per second.
    at_begin
        Called when the warm-up is over.
    connections
        At most. What finds none waits for one, and the time counts.
    """
    times = poisson_arrivals(rate, plan.length_s, np.random.default_rng([plan.seed, _ARRIVALS_STREAM]))
    if plan.requests is not None:
        times = times[: int(np.searchsorted(times, plan.warm_up_s)) + plan.requests]
    origin = perf_counter()
    tally = Tally(origin + plan.warm_up_s)
    lanes: list[Lane] = []
    idle: deque[Lane] = deque()
    waiting: deque[float] = deque()
    asking: set[asyncio.Task[None]] = set()

    async def ask(lane: Lane, start: float) -> None:
        while True:
            place = questions.next()
            reply = await lane.ask(questions.pool[place])
            tally.add(start, perf_counter(), place, reply)
            if not waiting:
                break
            start = waiting.popleft()
        idle.append(lane)

    begun = asyncio.ensure_future(_after(plan.warm_up_s, at_begin))
    try:
        for time in times:
            start = origin + float(time)
            await _until(start)
            tally.lagged(start, perf_counter() - start)
            if idle:
                lane = idle.popleft()
            elif len(lanes) < connections:
                lane = open_lane()
                lanes.append(lane)
            else:
                waiting.append(start)
                continue
            task = asyncio.create_task(ask(lane, start))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await begun
        await _rest(asking, waiting, tally)
    finally:
        begun.cancel()
        for task in asking:
            task.cancel()
        await asyncio.gather(begun, *asking, return_exceptions=True)
        await _close(lanes)
    return tally


async def _rest(asking: set[asyncio.Task[None]], waiting: deque[float], tally: Tally) -> None:
    """Wait for what is on its way; what still has no connection after the longest time of a reply is given up."""
    if asking:
        await asyncio.wait(asking, timeout=REPLY_LIMIT_S)
    now = perf_counter()
    while waiting:
        tally.add(waiting.popleft(), now, -1, Reply(UNSENT))
    if asking:
        await asyncio.wait(asking)
    for task in asking:
        task.result()


async def _until(moment: float) -> None:
    # At least once around the loop: replies are read between two requests, also by a client that is late.
    spin_s = _TIMER_S if (os.cpu_count() or 1) > 1 else 0.0
    await asyncio.sleep(max(0.0, moment - perf_counter() - spin_s))
    while perf_counter() < moment:
        await asyncio.sleep(0)


async def _after(seconds: float, call: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await call()


async def _close(lanes: list[Lane]) -> None:
    for lane in lanes:
        with suppress(OSError):
            await lane.close()
