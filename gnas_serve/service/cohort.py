"""Cohorts: requests that are there at the same time take each step of their way together.

All that is done for a request, from its first byte to its answer, is more code than a core has at hand at a time: what
reading it and laying out its answer take, 19 us from request to request, is 44 between two recommendations, and these
take a third longer as well. So of all requests that one turn of the event loop reads, first each is answered and then
each answer laid out. Nobody waits longer for it: what a turn writes is sent at its end.

References
----------
Larus and Parkes (2002), Using Cohort Scheduling to Enhance Server Performance, USENIX Annual Technical Conference.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Protocol

MOST = 16
"""So many are together at most: more save little, and the first would wait for the last to be answered."""


class Member(Protocol):
    """A request that was read; its steps raise nothing that is an error."""

    def compute(self) -> None:
        """Find the answer."""

    def finish(self) -> None:
        """Lay the answer out, and write it."""


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
        with ExitStack() as steps:  # the last first; whatever happens in one, all are taken
            for member in reversed(members):
                steps.callback(member.finish)
            for member in reversed(members):
                steps.callback(member.compute)
