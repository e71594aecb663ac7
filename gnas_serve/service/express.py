"""The express lane of the HTTP door: what is there as a whole, and answered without waiting, needs no task of its own.

uvicorn makes a task, an event and some messages of each request, and the loop takes turns with them: for calls that
only compute, that costs more than reading the request and writing the answer. Here the front
(:class:`gnas_serve.service.hot_path.HotPath`) reads it in the parser's callback, and answers it at the end of the turn,
together with what else has come (:mod:`gnas_serve.service.cohort`). Whatever is out of the ordinary goes the long way,
and so does all that may wait.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gnas_serve.service.bodies import Headers
from gnas_serve.service.cohort import Cohorts
from gnas_serve.service.hot_path import GONE, HotPath, Passage
from gnas_serve.service.request_head import RequestHead
from gnas_serve.service.routes import ON_THE_SPOT, Asked

_MOST_DIGITS = 5  # of the length of a body: longer ones come in several pieces
# What lets uvicorn see the request in another way than it came.
_ELSEWHERE = frozenset({b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto"})
_CLOSE = (b"connection", b"close")
_BUG = "500"

_log = logging.getLogger(__name__)


class ExpressConnection(HttpToolsProtocol):
    """A connection of the HTTP door, one of whose requests may be on the express lane.

    Attributes
    ----------
    is_waiting
        Whether one was read and is not answered yet; what is read after it waits for its answer.
    is_last
        Whether the connection is to be closed after that answer.
    began
        When its latest request was read, in seconds of ``perf_counter``.
    """

    is_waiting = False
    is_last = False
    began = 0.0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.is_waiting:  # as uvicorn keeps what comes while it answers
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Close, once what waits is answered."""
        if self.is_waiting:
            self.is_last = True
        else:
            super().shutdown()


class Express:
    """Answers what it takes in the turn of the loop that read it.

    Parameters
    ----------
    front
        What answers.
    """

    def __init__(self, front: HotPath) -> None:
        self._front = front
        self._cohorts = Cohorts()

    def takes(self, connection: ExpressConnection) -> bool:
        """Tell, once its head is read, whether a request may be answered here when its body is there."""
        if connection.url not in ON_THE_SPOT or connection.is_waiting:
            return False
        parser, cycle = connection.parser, connection.cycle
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        if connection.expect_100_continue or connection.root_path:
            return False
        if not (cycle is None or cycle.response_complete) or connection.flow.write_paused:
            return False  # an answer before this one is on its way
        headers = dict(connection.headers)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > _MOST_DIGITS or connection.transport.is_closing():
            return False
        return self._front.is_open and _ELSEWHERE.isdisjoint(headers)

    def answer(self, connection: ExpressConnection, body: bytes) -> None:
        """Read a request, and let it be answered, or told that it is refused, with the others of this turn."""
        route = ON_THE_SPOT[connection.url]
        peer = str(connection.client[0]) if connection.client else ""
        try:
            head = RequestHead.of_headers("POST", peer, route, connection.began, connection.headers)
            passage = self._front.take_in(head, route, Asked(body, connection.url, b""))
        except Exception:  # noqa: BLE001  # the parser, which called, would take it for a fault of the caller's
            _give_up(connection)
            return
        connection.is_waiting = True
        self._cohorts.join(_Waiting(self._front, connection, passage))


class _Waiting:
    """A request that was read, and its connection."""

    __slots__ = ("_connection", "_front", "_passage", "staged")

    def __init__(self, front: HotPath, connection: ExpressConnection, passage: Passage) -> None:
        self._front = front
        self._connection = connection
        self._passage = passage
        self.staged = front.answered(passage, connection.transport.is_closing)

    def finish(self) -> None:
        front, connection, passage = self._front, self._connection, self._passage
        connection.is_waiting = False
        is_gone = connection.transport.is_closing()
        code = GONE if is_gone else _BUG
        try:
            try:
                if not is_gone:
                    status, content, headers = front.lay_out(passage)
                    _write(connection, status, content, headers)
                    code = f"{status:d}"
            finally:
                front.over(passage, code)
        except Exception:  # noqa: BLE001  # those who are answered with it are not to suffer
            _give_up(connection)
        connection.on_response_complete()


def _write(connection: ExpressConnection, status: HTTPStatus, content: bytes, headers: Headers) -> None:
    everything = [*connection.server_state.default_headers, *headers]
    is_last = _CLOSE in everything
    if connection.is_last and not is_last:
        everything.append(_CLOSE)
        is_last = True
    lines = [b"%s: %s\r\n" % header for header in everything]
    head = b"content-length: %d\r\n\r\n" % len(content)
    connection.transport.write(b"".join([STATUS_LINE[status], *lines, head, content]))
    if is_last:
        connection.transport.close()


def _give_up(connection: ExpressConnection) -> None:
    _log.exception("a request was not answered")
    connection.transport.close()
