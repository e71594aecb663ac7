"""The connections of the HTTP door: none is kept without a request, and all are told when the door is to close."""

from __future__ import annotations

import asyncio

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bound_heads(server: uvicorn.Server, limit_s: float) -> None:
    """Close every connection to come that is silent, or stops within a request's head, for too long.

    uvicorn itself bounds only the silence between two requests. Without a bound, callers who never finish a head
    take up the process's file descriptors one by one.

    Parameters
    ----------
    server
        Not listening yet.
    limit_s
        Seconds from the connection's or a request's first byte to the end of the head.
    """

    class BoundedHttp(HttpToolsProtocol):
        head_limit: asyncio.TimerHandle | None = None
        is_within_head = True

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self.expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_expecting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Most heads come whole: of those that do not, the timer is set once it is known.
            if self.is_within_head and self.head_limit is None:
                self.expect_head()

        def on_message_begin(self) -> None:
            self.is_within_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self.is_within_head = False
            self.stop_expecting()
            super().on_headers_complete()

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
