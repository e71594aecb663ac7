"""Deadlines that cost nothing where an answer is there at once, as most are."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def within(limit_s: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine, and end it where it takes too long.

    The timer is set only when it first has to wait: a timer that is set and taken back at each request costs as much
    as reading the request.

    Parameters
    ----------
    limit_s
        Seconds from the first wait on. What comes before it holds up the event loop, so no timer would end it.
    work
        Not begun yet.

    Raises
    ------
    TimeoutError
        If it takes longer.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: _Result = done.value
        return result
    async with asyncio.timeout(limit_s):
        return await _resumed(work, waits_for)


@coroutine
def _resumed(work: Coroutine[Any, Any, _Result], waits_for: Any) -> Generator[Any, Any, _Result]:
    """Go on with a coroutine that waits for something: what it waits for is handed to the event loop as its own."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # handed on: a cancellation is the coroutine's to see
                waits_for = work.throw(error)
            else:
                waits_for = work.send(sent)
        except StopIteration as done:
            result: _Result = done.value
            return result
