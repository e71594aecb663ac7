"""Cohorts: requests that are there at the same time take each step of their way together.

All that is done for a request, from its first byte to its answer, is more code than a core has at hand at a time: what
reading it and laying out its answer take, 19 us from request to request, is 44 between two recommendations, and these
take a third longer as well. So all requests that one turn of the event loop reads take each stage of being answered
together, and then each answer is laid out. Nobody waits longer for it: what a turn writes is sent at its end.

References
----------
Larus and Parkes (2002), Using Cohort Scheduling to Enhance Server Performance, USENIX Annual Technical Conference.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from contextvars import copy_context
from typing import Generic, Protocol, TypeVar

from gnas_serve.runtime.stages import Staged

MOST = 16
"""So many are together at most: more save little, and the first would wait for the last to be answered."""

_Found = TypeVar("_Found")


class Member(Protocol):
    """A request that was read; its steps raise nothing that is an error of its own."""

    def advance(self) -> bool:
        """Take the next stage of finding the answer, and tell whether there may be another."""

    def finish(self) -> None:
        """Lay the answer out, and write it; called once, whatever happened before."""


class Cohorts:
    """The requests of one event loop that wait to be answered."""

    def __init__(self) -> None:
        self._waiting: list[Member] = []

    def join(self, member: Member) -> None:
        """Let a request be answered with those that are read in the same turn of the loop, after this returns."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        self._waiting.append(member)

    def _answer(self) -> None:
        members, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:  # what is read and written meanwhile has its turn before them
            asyncio.get_running_loop().call_soon(self._answer)
        stopped: BaseException | None = None
        with ExitStack() as steps:  # the last first; whatever happens in one, all are taken
            for member in reversed(members):
                steps.callback(member.finish)
            while members:
                going: list[Member] = []
                for member in members:
                    try:
                        if member.advance():
                            going.append(member)
                    except BaseException as error:  # noqa: BLE001  # raised again, when the others have their answers
                        stopped = error
                members = going
        if stopped is not None:
            raise stopped

    async def answer(self, staged: Staged[_Found]) -> _Found:
        """Have something found together with what others look for in the same turn of the loop.

        Its stages have the context variables of the task that waits here.
        """
        member = _Awaited(staged)
        self.join(member)
        return await member.found


class _Awaited(Generic[_Found]):
    """A member whose answer a task waits for."""

    __slots__ = ("_context", "_end", "_staged", "found")

    def __init__(self, staged: Staged[_Found]) -> None:
        self.found: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._context = copy_context()
        self._end: Exception = RuntimeError("its stages were stopped")
        self._staged = staged

    def advance(self) -> bool:
        if self.found.done():  # whoever waited has left
            return False
        try:
            self._context.run(next, self._staged)
        except Exception as end:  # noqa: BLE001  # it is the waiting task's
            self._end = end
            return False
        return True

    def finish(self) -> None:
        if self.found.done():
            return
        if isinstance(self._end, StopIteration):
            self.found.set_result(self._end.value)
        else:
            self.found.set_exception(self._end)
