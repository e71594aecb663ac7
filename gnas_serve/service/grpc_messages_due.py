"""Calls whose message is due: who sends none in time, or ends without one, is told so, and takes nobody's place.

grpcio gives such a call no status, and waits until its connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import grpc
from grpc._cython import cygrpc

from gnas_serve.errors import GnasError, RequestError
from gnas_serve.service.errors import SlowRequestError
from gnas_serve.service.grpc_refusals import Refusals

Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, Any]"
Taken: TypeAlias = Callable[[Any, asyncio.AbstractEventLoop], Coroutine[Any, Any, None]]
"""Gives the work that a call is, of grpcio's state of it, to be run as a task."""


class MessagesDue:
    """The calls of one message whose message is not there.

    Parameters
    ----------
    limit_s
        So long one may take.
    refusals
        Refuses those who take longer.
    """

    def __init__(self, limit_s: float, refusals: Refusals) -> None:
        self._limit_s = limit_s
        self._refuse = refusals.refuse
        # The longest first. A timer of each call would cost as much as reading it: one looks at all.
        self._due: dict[asyncio.Task[Any], tuple[float, str, Any]] = {}
        self._refusals: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        self._is_looked_after = False

    def taken(self, path: str, handler: Handler) -> Taken:
        """Give the work of the calls of a method, by its path."""
        behaviour: Any = handler.unary_unary

        async def begun(message: Any, context: Any) -> Any:
            self._due.pop(_this(), None)
            return await behaviour(message, context)

        noted = grpc.unary_unary_rpc_method_handler(begun, handler.request_deserializer, handler.response_serializer)

        async def work(state: Any, loop: asyncio.AbstractEventLoop) -> None:
            this = _this()
            self._due[this] = loop.time(), path, state
            self._look_after(loop)
            try:
                await cygrpc._handle_unary_unary_rpc(noted, state, loop)
            finally:
                is_due, refusal = self._due.pop(this, None), self._refusals.pop(this, None)
            if refusal is not None:
                await refusal
            elif is_due is not None:
                error = RequestError("the call has no message", code="invalid_message")
                await self._refuse(path, state, loop, error, loop.time() - is_due[0])

        return work

    def end_oldest(self, least_s: float, error: GnasError) -> bool:
        """Refuse the call that has been without its message for longest, for another to have its place.

        Parameters
        ----------
        least_s
            So long, or it is let be.
        error
            What it is told.

        Returns
        -------
        bool
            Whether one was.
        """
        loop = asyncio.get_running_loop()
        task, (since, *_) = next(iter(self._due.items()), (None, (0.0,)))
        if task is None or loop.time() - since < least_s:
            return False
        self._end(task, error, loop)
        return True

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_looked_after and self._due:
            self._is_looked_after = True
            first, *_ = next(iter(self._due.values()))
            loop.call_at(first + self._limit_s, self._end_late, loop)

    def _end_late(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_looked_after = False
        late = loop.time() - self._limit_s
        error = SlowRequestError(f"the message did not arrive within {self._limit_s:g} s")
        for task in [one for one, (since, *_) in self._due.items() if since <= late]:
            self._end(task, error, loop)
        self._look_after(loop)

    def _end(self, task: asyncio.Task[Any], error: GnasError, loop: asyncio.AbstractEventLoop) -> None:
        since, path, state = self._due.pop(task)
        self._refusals[task] = refusal = asyncio.ensure_future(
            self._refuse(path, state, loop, error, loop.time() - since)
        )
        refusal.add_done_callback(_is_known)


def _is_known(refusal: asyncio.Task[None]) -> None:
    if not refusal.cancelled():
        refusal.exception()  # of a call that has gone meanwhile nobody waits for it


def _this() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is answered outside of any task")
    return task
