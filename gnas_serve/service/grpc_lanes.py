"""Lanes: calls come to the gRPC door's loop several at a time, not one after the other.

grpcio asks its core for one call, and for the next when that one has come. So each call finds itself alone in its turn
of the event loop, and costs the changes between the thread that tells the loop and the loop's own, three of each a
call. Here so many are asked for as may pass the door together: what has come while the loop had work is there in its
next turn, and takes each step together (:mod:`gnas_serve.service.cohort` says why that is cheaper).

Nor does a call whose path is no text end what takes the calls, as it does with grpcio's own task: what is asked for by
its method needs no path to be read, and whatever else comes is told that there is no such method.

It goes on what grpcio does not promise, and so only with the releases that it was tried with; with another one calls
come one at a time, as they always have.

References
----------
Larus and Parkes (2002), Using Cohort Scheduling to Enhance Server Performance, USENIX Annual Technical Conference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, cast

import grpc

# Of grpcio's own modules, the core of its asyncio server and what makes one.
from grpc._cython import cygrpc
from grpc.aio import Server, _server, server

from gnas_serve.service.cohort import MOST
from gnas_serve.service.errors import OverloadedError
from gnas_serve.service.grpc_messages_due import Handler, MessagesDue, Taken
from gnas_serve.service.grpc_refusals import Count, Refusals

TRIED = "1.85."
"""How the version of grpcio begins, of the releases that this was tried with."""

PATIENT_S = 0.1
"""So long a call may be without its message where others want its place."""

_AGAIN_S = 0.5

_log = logging.getLogger(__name__)


class Lanes:
    """Takes the calls of a server from grpcio's core.

    Parameters
    ----------
    calls
        Handlers by the paths of their methods, of one message each, answered with one; each has several lanes.
    beside
        Of any other kind; each has one.
    most, most_beside
        So many calls of each kind may be read and answered at once; others are refused as too many. Who asks for the
        health of a server under load is none of its load.
    message_s
        So long the message of a call may take; until it is there, the call takes a place, and gives way where there is
        no other.
    count
        Is told of the calls that are refused here.
    """

    def __init__(
        self,
        calls: Mapping[str, Handler],
        beside: Mapping[str, Handler],
        *,
        most: int,
        most_beside: int,
        message_s: float,
        count: Count,
    ) -> None:
        self._calls, self._beside = dict(calls), dict(beside)
        self._refusals = Refusals(count)
        self._places = _Places(most, MessagesDue(message_s, self._refusals))
        self._places_beside = _Places(most_beside, MessagesDue(message_s, self._refusals))
        self._lanes: set[asyncio.Task[None]] = set()
        self._refused: set[asyncio.Task[None]] = set()

    @staticmethod
    def are_possible() -> bool:
        """Whether the grpcio that is there was tried with them."""
        return bool(grpc.__version__.startswith(TRIED))

    def server(self, options: Sequence[tuple[str, Any]]) -> Server:
        """Make a server whose calls are these; it is not started.

        Parameters
        ----------
        options
            As grpcio has them.
        """
        if self.are_possible():
            return cast("Server", _LaneServer(options, self._calls | self._beside))  # unknown to grpcio's types
        _log.info("grpcio %s: calls are taken one at a time", grpc.__version__)
        made = server(options=options, maximum_concurrent_rpcs=self._places.most + self._places_beside.most)
        made.add_generic_rpc_handlers((_Generic(self._calls | self._beside),))
        return made

    def open(self, started: Server) -> None:
        """Take calls until the server is stopped."""
        if not isinstance(started, _LaneServer):
            return
        core, places, beside = started.core, self._places, self._places_beside
        for path, handler in self._calls.items():
            for _ in range(MOST):
                taken = places.due.taken(path, handler)
                self._keep(partial(self._lane, core, core.next_of(path), path, taken, places))
        for path, handler in self._beside.items():
            streams = handler.request_streaming or handler.response_streaming
            taken = _any(path, handler) if streams else beside.due.taken(path, handler)
            self._keep(partial(self._lane, core, core.next_of(path), path, taken, beside))
        self._keep(partial(self._lane, core, core._request_call, "", _any("", None), beside))

    def _keep(self, lane: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(lane())
        self._lanes.add(task)
        task.add_done_callback(partial(self._ended, lane))

    async def _lane(
        self,
        core: _Core,
        next_call: Callable[[], Coroutine[Any, Any, Any]],
        path: str,
        taken: Taken,
        places: _Places,
    ) -> None:
        loop = asyncio.get_running_loop()
        while core.is_running():  # one that was stopped has nothing that could be asked
            try:
                state = await next_call()
            except cygrpc._RequestCallError:  # the server is being stopped, or the call left before it was taken
                continue
            if places.is_one_left() or places.make_one():
                work, among = taken(state, loop), places.taken
            else:
                work, among = self._one_too_many(path, state, loop), self._refused
            # Its first step is to ask to be told when the caller leaves; the work is a task that it makes.
            call = loop.create_task(cygrpc._schedule_rpc_coro(work, state, loop, path))
            among.add(call)
            call.add_done_callback(among.discard)
        core.no_more()

    def _one_too_many(self, path: str, state: Any, loop: asyncio.AbstractEventLoop) -> Coroutine[Any, Any, None]:
        return self._refusals.refuse(path, state, loop, _too_many())

    def _ended(self, lane: Callable[[], Coroutine[Any, Any, None]], task: asyncio.Task[None]) -> None:
        self._lanes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Without it calls of its method would be fewer at a time, and without the last none: it begins again.
            _log.error("a lane of the gRPC door ended, and begins again", exc_info=error)
            task.get_loop().call_later(_AGAIN_S, self._keep, lane)


class _Places:
    """How many calls may be in flight, which are, and which of them have no message yet."""

    def __init__(self, most: int, due: MessagesDue) -> None:
        self.most, self.due = most, due
        self.taken: set[asyncio.Task[None]] = set()

    def is_one_left(self) -> bool:
        return len(self.taken) < self.most

    def make_one(self) -> bool:
        # Who calls is asked once there is a message. Those who send none would keep all others out, with a key or
        # without: the one who has sent none for longest gives way.
        return self.due.end_oldest(PATIENT_S, _too_many())


def _too_many() -> OverloadedError:
    return OverloadedError("too many requests at once", hint="try again in a second")


def _any(path: str, handler: Handler | None) -> Taken:
    found = _Found(handler)
    return lambda state, loop: cygrpc._handle_rpc(path, found, (), state, loop, False)  # grpcio's


class _Found:
    """What finds the handler of a call, where that is known."""

    def __init__(self, handler: Handler | None) -> None:
        self._handler = handler

    def resolve_handler(self, _details: Any) -> Handler | None:
        return self._handler


class _Core(cygrpc.AioServer):  # type: ignore[misc]  # untyped
    """The core's server, which asks for no calls itself.

    Where its own task ends, it drops what it has asked for, and the core writes to what is no more.
    """

    _asked: asyncio.Future[Any] | None = None

    def _make_request_call_future(self, _method: bytes | None) -> asyncio.Future[Any]:
        self._asked = asyncio.get_running_loop().create_future()
        return self._asked

    def next_of(self, path: str) -> Callable[[], Coroutine[Any, Any, Any]]:
        """Give what takes the next call of a method that is registered."""
        method = path.encode()
        return lambda: self._request_registered_call(method)

    def no_more(self) -> None:
        """Tell the server's own task that no call comes any more; it waits for that in a stop."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(cygrpc._RequestCallError())


class _LaneServer(_server.Server):
    """grpcio's server over a core of ours; the names that it is made of are grpcio's."""

    def __init__(self, options: Sequence[tuple[str, Any]], handlers: Mapping[str, Handler]) -> None:
        self._loop = cygrpc.get_working_loop()
        self.core = _Core(self._loop, None, (), (), _server._augment_channel_arguments(options, None), None)
        self.core.add_registered_method_handlers(dict(handlers))
        self._server = self.core


class _Generic(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # it takes none when it runs
    """Handlers as a server takes them that asks for calls itself."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        return self._handlers.get(details.method)
