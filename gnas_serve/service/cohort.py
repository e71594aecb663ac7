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
from typing import Generic, Protocol, TypeVar

from gnas_serve.runtime.stages import Staged

MOST = 16
"""So many are together at most: more save little, and the first would wait for the last to be answered."""

_Found = TypeVar("_Found")


class Member(Protocol):
    """A request that was read."""

    @property
    def staged(self) -> Staged[None]:
        """Its way to an answer, which it keeps, as it does errors."""

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

    async def answer(self, staged: Staged[_Found]) -> _Found:
        """Have something found together with what others look for in the same turn of the loop."""
        member = _Awaited(staged)
        self.join(member)
        return await member.found

    def _answer(self) -> None:
        members, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:  # what is read and written meanwhile has its turn before them
            asyncio.get_running_loop().call_soon(self._answer)
        stopped: BaseException | None = None
        going = [member.staged for member in members]
        while going:
            later: list[Staged[None]] = []
            for staged in going:
                try:
                    next(staged)
                except StopIteration:
                    pass
                except BaseException as error:  # noqa: BLE001  # raised again, when the others have their answers
                    stopped = error
                else:
                    later.append(staged)
            going = later
        for member in members:
            try:
                member.finish()
            except BaseException as error:  # noqa: BLE001  # as above
                stopped = error
        if stopped is not None:
            raise stopped


class _Awaited(Generic[_Found]):
    """A member whose answer a task waits for."""

    __slots__ = ("_answer", "_error", "found", "staged")

    def __init__(self, staged: Staged[_Found]) -> None:
        self.found: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self.staged = self._kept(staged)
        self._error: Exception | None = None

    def _kept(self, staged: Staged[_Found]) -> Staged[None]:
        if self.found.done():  # whoever waited has left
            return
        try:
            self._answer = yield from staged
        except Exception as error:  # noqa: BLE001  # it is the waiting task's
            self._error = error

    def finish(self) -> None:
        if self.found.done():
            return
        if self._error is not None:
            self.found.set_exception(self._error)
        elif hasattr(self, "_answer"):
            self.found.set_result(self._answer)
        else:  # what stopped it is told by the loop
            self.found.set_exception(RuntimeError("the answer was stopped"))
