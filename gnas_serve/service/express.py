"""The express lane of the HTTP door: what is there as a whole, and answered without waiting, is answered on the spot.

uvicorn makes a task, an event and some messages of each request, and the loop takes turns with them: for calls that
only compute, that costs more than reading the request and writing the answer. Here the front
(:class:`gnas_serve.service.hot_path.HotPath`) answers at once, from the parser's callback. Whatever is out of the
ordinary goes the long way, and so does all that may wait.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gnas_serve.service.bodies import Scope
from gnas_serve.service.hot_path import HotPath
from gnas_serve.service.routes import ON_THE_SPOT, Asked

_MOST_DIGITS = 5  # of the length of a body: longer ones come in several pieces
# What lets uvicorn see the request in another way than it came.
_ELSEWHERE = (b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto")

_log = logging.getLogger(__name__)


class Express:
    """Answers on the spot what can be.

    Parameters
    ----------
    front
        What answers.
    """

    def __init__(self, front: HotPath) -> None:
        self._front = front

    def takes(self, connection: HttpToolsProtocol) -> bool:
        """Tell, once its head is read, whether a request may be answered on the spot when its body is there."""
        if connection.url not in ON_THE_SPOT:
            return False
        parser, cycle = connection.parser, connection.cycle
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return False
        if parser.should_upgrade() or connection.expect_100_continue or connection.root_path:
            return False
        if not (cycle is None or cycle.response_complete) or connection.flow.write_paused:
            return False  # an answer before this one is on its way
        headers = dict(connection.headers)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or len(length) > _MOST_DIGITS or connection.transport.is_closing():
            return False
        return self._front.is_open and not any(name in headers for name in _ELSEWHERE)

    def answer(self, connection: HttpToolsProtocol, body: bytes) -> None:
        """Answer a request, and write the answer."""
        route = ON_THE_SPOT[connection.url]
        scope: Scope = connection.scope  # type: ignore[assignment]  # uvicorn's, as ASGI has it
        scope["method"] = "POST"

        def write(status: HTTPStatus, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
            everything = [*connection.server_state.default_headers, *headers]
            lines = [b"%s: %s\r\n" % header for header in everything]
            head = b"content-length: %d\r\n\r\n" % len(content)
            connection.transport.write(b"".join([STATUS_LINE[status.value], *lines, head, content]))
            if (b"connection", b"close") in everything:
                connection.transport.close()

        try:
            self._front.answer_at_once(scope, route, Asked(body, connection.url, b""), write)
        except Exception:  # noqa: BLE001  # the parser, which called, would take it for a fault of the caller's
            _log.exception("a request was not answered")
            connection.transport.close()
        connection.on_response_complete()
