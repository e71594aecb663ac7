"""The connections of the HTTP door, once they are taken in: what each may, and which way its requests go.

None is kept without a request, none fills the memory with a head that goes on, what is no HTTP is told so in a problem
document, and all are told when the door is to close.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gnas_serve.errors import RequestError
from gnas_serve.service.errors import HeadTooLargeError
from gnas_serve.service.express import Express, ExpressConnection
from gnas_serve.service.problems import problem
from gnas_serve.service.request_head import BEGAN
from gnas_serve.service.upgrades import without_offer

MAX_HEAD_BYTES = 1 << 16


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

    class BoundedHttp(ExpressConnection):
        head_limit: asyncio.TimerHandle | None = None
        read_limit: asyncio.TimerHandle | None = None
        silence_limit: asyncio.TimerHandle | None = None
        silent_since: float | None = None  # since its last answer, in the loop's seconds
        answered: RequestResponseCycle | None = None  # the request whose turn it is
        is_within_head = True
        pieces: list[bytes] | None = None  # of the body of a request that takes the express lane
        read_at = 0.0
        unread = 0  # bytes since the last piece of a body, or since the request before
        is_long = False
        is_refused = False  # what is read now is no request: once all before it is answered, that is told

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self.expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_expecting()
            if self.silence_limit is not None:
                self.silence_limit.cancel()
            self.stop_waiting()
            # uvicorn tells the request that came last: those before it would write to nobody, with a traceback each.
            if self.answered is not None:
                self.answered.disconnected = True
            self.pipeline.clear()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.is_refused:
                return
            self.unread += len(data)
            self.read_at = perf_counter()
            self._unset_keepalive_if_required()
            if not self.parse(data):
                return
            if self.unread > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.is_long = True
                self.send_400_response("")
            # Most heads come whole: of those that do not, the timer is set once it is known.
            elif self.head_limit is None and (self.is_within_head or self.is_unattended()):
                self.expect_head()
            elif self.pieces is not None and not self.transport.is_closing():  # more is to come: the long way
                pieces, self.pieces = self.pieces, None
                self.take_long_way()
                for piece in pieces:
                    super().on_body(piece)

        def parse(self, data: bytes) -> bool:
            """Tell whether all of it was HTTP that this door speaks."""
            left = memoryview(data)
            try:
                while left:
                    left = left[self.parse_some(left) :]
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("")
                return False
            return True

        def parse_some(self, data: memoryview) -> int:
            """Give how much of it was read: all, or up to the end of a head that offers another protocol."""
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                method, version = self.parser.get_method(), self.parser.get_http_version()
                if method == b"CONNECT":
                    raise httptools.HttpParserError("this is no proxy") from stopped
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                self.parser.feed_data(without_offer(method, self.url, version, self.headers))
                return int(stopped.args[0])
            return len(data)

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            if not self.is_waiting:
                self.answered = cycle
            super()._start_asgi_task(cycle, app)

        def on_response_complete(self) -> None:
            # As uvicorn has it but for the limit on the silence between two requests: a timer set anew after each
            # answer takes 1.2 us of it, and this looks once in a while how long it has been silent.
            self.server_state.total_requests += 1
            if self.transport.is_closing():
                return
            if not self.is_refused:
                self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
                return
            if self.is_refused:
                self.refuse()
                return
            self.silent_since = self.loop.time()
            if self.silence_limit is None:
                self.silence_limit = self.loop.call_later(self.timeout_keep_alive, self.end_silence)

        def _unset_keepalive_if_required(self) -> None:
            self.silent_since = None

        def end_silence(self) -> None:
            self.silence_limit = None
            if self.silent_since is None:
                return
            left_s = self.silent_since + self.timeout_keep_alive - self.loop.time()
            if left_s > 0.0:
                self.silence_limit = self.loop.call_later(left_s, self.end_silence)
            else:
                self.timeout_keep_alive_handler()

        def is_unattended(self) -> bool:
            # Empty lines begin no request, and end uvicorn's limit on the silence between two.
            is_idle = self.pieces is None and (self.cycle is None or self.cycle.response_complete)
            return is_idle and not self.is_waiting and self.silent_since is None and not self.transport.is_closing()

        def on_message_begin(self) -> None:
            self.is_within_head = True
            self.stop_expecting()  # the time of a request begins with its first byte
            self.began = self.read_at  # with those before it in the same piece it waits
            # What uvicorn's own does, but for the scope: nobody reads it in the express lane, and it takes 1 us.
            self.url, self.headers, self.expect_100_continue = b"", [], False

        def take_long_way(self) -> None:
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.headers, self.expect_100_continue = url, headers, expects
            self.scope["headers"] = headers
            self.scope["state"][BEGAN] = self.began
            super().on_headers_complete()

        def on_headers_complete(self) -> None:
            self.is_within_head = False
            self.stop_expecting()
            # With the head came, perhaps, a body: it is counted apart only where both are long together.
            if self.unread > MAX_HEAD_BYTES and self.head_bytes() > MAX_HEAD_BYTES:
                self.is_long = True
                raise ValueError("too long a head")  # stops the parser, whose caller refuses the request
            if self.parser.should_upgrade():  # it is read again, without what it offers
                return
            self.unread = 0
            # What else a caller sends at once waits for its turns, and other callers have theirs.
            if express.takes(self):
                self.pieces = []
            else:
                self.take_long_way()

        def on_body(self, body: bytes) -> None:
            self.unread = 0
            if self.pieces is None:
                super().on_body(body)
            else:
                self.pieces.append(body)

        def on_message_complete(self) -> None:
            if self.parser.should_upgrade():
                return
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

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are not ours
            self.is_refused = True
            self.flow.pause_reading()
            # A request whose body is what cannot be read has no answer but this.
            is_within_body = self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete
            if is_within_body and self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
                is_within_body = False
            if not self.is_waiting and (is_within_body or not self.is_answering()):
                self.refuse()

        def is_answering(self) -> bool:
            return bool(self.pipeline) or (self.answered is not None and not self.answered.response_complete)

        def refuse(self) -> None:
            if self.transport.is_closing():
                return
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


def announce_close(server: uvicorn.Server) -> None:
    """Let every answer from now on, those of requests in flight too, say that its connection closes after it."""
    header = (b"connection", b"close")
    if header not in server.config.encoded_headers:
        # uvicorn makes its default headers anew from these each second; requests in flight hold the present list.
        server.config.encoded_headers.append(header)
        server.server_state.default_headers.append(header)
