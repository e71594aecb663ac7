"""The connections of the HTTP door.

All that come are taken in at once, none is kept without a request, none fills the memory with a head that goes on,
what is no HTTP is told so in a problem document, and all are told when the door is to close.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gnas_serve.errors import RequestError
from gnas_serve.service.errors import HeadTooLargeError, problem
from gnas_serve.service.express import Express

MAX_HEAD_BYTES = 1 << 16
_TAKEN_ALONE, _TAKEN_AMONG_OTHERS = 1024, 16
_STARTED_S = 0.01
_PAUSE_S = 0.1


def bound_heads(server: uvicorn.Server, limit_s: float, express: Express) -> None:
    """Close every connection to come that is silent, or within a request's head, for too long or too many bytes.

    uvicorn itself bounds only the silence between two requests. Without a bound, callers who never finish a head
    take up the process's file descriptors one by one, or its memory: what follows the body of a request in chunks
    ("trailers"), and the extensions of a chunk, are kept like headers, and bounded with them.

    Parameters
    ----------
    server
        Not listening yet.
    limit_s
        Seconds from the connection's or a request's first byte to the end of the head, and for a caller who does not
        read what waits to be sent.
    express
        Answers what it takes, before uvicorn sees it.
    """

    class BoundedHttp(HttpToolsProtocol):
        head_limit: asyncio.TimerHandle | None = None
        read_limit: asyncio.TimerHandle | None = None
        answered: RequestResponseCycle | None = None  # the request whose turn it is
        is_within_head = True
        pieces: list[bytes] | None = None  # of the body of a request that is to be answered on the spot
        unread = 0  # bytes since the last piece of a body, or since the request before
        is_long = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self.expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_expecting()
            self.stop_waiting()
            # uvicorn tells the request that came last: those before it would write to nobody, with a traceback each.
            if self.answered is not None:
                self.answered.disconnected = True
            self.pipeline.clear()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self.unread += len(data)
            super().data_received(data)
            if self.unread > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.is_long = True
                self.send_400_response("")
            # Most heads come whole: of those that do not, the timer is set once it is known.
            elif self.head_limit is None and (self.is_within_head or self.is_unattended()):
                self.expect_head()
            elif self.pieces is not None and not self.transport.is_closing():  # more is to come: the long way
                pieces, self.pieces = self.pieces, None
                super().on_headers_complete()
                for piece in pieces:
                    super().on_body(piece)

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            self.answered = cycle
            super()._start_asgi_task(cycle, app)

        def is_unattended(self) -> bool:
            # Empty lines begin no request, and end uvicorn's limit on the silence between two.
            is_idle = self.pieces is None and (self.cycle is None or self.cycle.response_complete)
            return is_idle and self.timeout_keep_alive_task is None and not self.transport.is_closing()

        def on_message_begin(self) -> None:
            self.is_within_head = True
            self.stop_expecting()  # the time of a request begins with its first byte
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self.is_within_head = False
            self.stop_expecting()
            # With the head came, perhaps, a body: it is counted apart only where both are long together.
            if self.unread > MAX_HEAD_BYTES and self.head_bytes() > MAX_HEAD_BYTES:
                self.is_long = True
                raise ValueError("too long a head")  # stops the parser, whose caller refuses the request
            self.unread = 0
            if express.takes(self):
                self.pieces = []
            else:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.unread = 0
            if self.pieces is None:
                super().on_body(body)
            else:
                self.pieces.append(body)

        def on_message_complete(self) -> None:
            if self.pieces is None:
                super().on_message_complete()
            else:
                pieces, self.pieces = self.pieces, None
                express.answer(self, b"".join(pieces))

        def head_bytes(self) -> int:
            return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

        def pause_writing(self) -> None:
            super().pause_writing()
            # What is written waits for a caller who does not read, and no other limit looks at it.
            if self.read_limit is None:
                self.read_limit = self.loop.call_later(limit_s, self.transport.abort)

        def resume_writing(self) -> None:
            self.stop_waiting()
            super().resume_writing()

        def stop_waiting(self) -> None:
            if self.read_limit is not None:
                self.read_limit.cancel()
                self.read_limit = None

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's, of plain text
            error = HeadTooLargeError(f"path and headers are over {MAX_HEAD_BYTES} bytes", hint="ask in the body")
            status, body = problem(error if self.is_long else RequestError("this is not HTTP", code="invalid_http"))
            headers = [*self.server_state.default_headers, (b"content-type", b"application/problem+json")]
            headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
            head = b"".join(b"%s: %s\r\n" % header for header in headers)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
            self.transport.close()

        def expect_head(self) -> None:
            # Closing sends first what is still to be sent.
            self.head_limit = self.loop.call_later(limit_s, self.transport.close)

        def stop_expecting(self) -> None:
            if self.head_limit is not None:
                self.head_limit.cancel()
                self.head_limit = None

    if server.config.http_protocol_class is HttpToolsProtocol:
        server.config.http_protocol_class = BoundedHttp


class Acceptor:
    """Takes in the connections that wait, in every turn of the event loop.

    uvloop takes in one a turn. While a turn answers a hundred requests, new callers would stand in the kernel's queue
    for seconds, where no limit sees them and nobody tells them to go.

    Parameters
    ----------
    server
        Of whose first socket.
    workers
        How many processes take in from that socket. Beside others, none is to take all that come at once: connections
        live long, and the others would have nothing to do.
    """

    def __init__(self, server: uvicorn.Server, workers: int) -> None:
        self._server = server
        self._most = _TAKEN_ALONE if workers == 1 else _TAKEN_AMONG_OTHERS
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._connecting: set[asyncio.Future[Any]] = set()
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        while not self._server.started:
            await asyncio.sleep(_STARTED_S)
        (first, *_) = self._server.servers[0].sockets
        self._listening = socket.fromfd(first.fileno(), first.family, first.type)
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._take)

    def close(self) -> None:
        """Take in no more; to be called before the server closes its socket, which lives as long as this one's does."""
        self._opening.cancel()
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _take(self) -> None:
        if self._listening is None:
            return
        for _ in range(self._most):
            try:
                taken, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:  # until some have left
                    self._loop.remove_reader(self._listening)
                    self._loop.call_later(_PAUSE_S, self._resume)
                return
            taken.setblocking(False)
            connecting = asyncio.ensure_future(
                self._loop.connect_accepted_socket(self._protocol, taken, ssl=self._server.config.ssl)
            )
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connected)

    def _connected(self, connecting: asyncio.Future[Any]) -> None:
        self._connecting.discard(connecting)
        if not connecting.cancelled():
            connecting.exception()  # of a caller who has left already: nobody is there to be told

    def _resume(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening, self._take)

    def _protocol(self) -> asyncio.Protocol:
        server = self._server
        made: asyncio.Protocol = server.config.http_protocol_class(  # type: ignore[call-arg]
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return made


def announce_close(server: uvicorn.Server) -> None:
    """Let every answer from now on, those of requests in flight too, say that its connection closes after it."""
    header = (b"connection", b"close")
    if header not in server.config.encoded_headers:
        # uvicorn makes its default headers anew from these each second; requests in flight hold the present list.
        server.config.encoded_headers.append(header)
        server.server_state.default_headers.append(header)
