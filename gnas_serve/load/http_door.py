"""The client's side of the HTTP door: HTTP/1.1 with connections that are kept, and little more than the socket."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import httptools

from gnas_serve.load.lane import CLOSED, REPLY_LIMIT_S, TIMEOUT, UNREACHABLE, Items, Reply
from gnas_serve.service.ports import address
from gnas_serve.vocabulary import Id


class HttpDoor:
    """``POST /v1/recommend`` of one server.

    Parameters
    ----------
    host, port
        Where it listens.
    path
        What is asked; another one where the door is behind a prefix.
    credential
        Of the client, of printable ASCII; None where anybody may ask.
    """

    protocol = "http"

    def __init__(self, host: str, port: int, path: str = "/v1/recommend", *, credential: str | None = None) -> None:
        self._host, self._port = host, port
        self._head = f"POST {path} HTTP/1.1\r\nhost: {address(host, port)}\r\ncontent-type: application/json\r\n"
        if credential is not None:
            self._head += f"authorization: Bearer {credential}\r\n"
        self.address = f"http://{address(host, port)}"

    def lane(self) -> HttpLane:
        """Make a lane."""
        return HttpLane(self._host, self._port)

    def question(self, user_id: Id, k: int) -> bytes:
        """Write a request, its head included."""
        body = json.dumps({"user_id": user_id, "k": k}, separators=(",", ":")).encode()
        return f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body

    def read(self, body: bytes) -> Items:
        """Read an answer.

        Raises
        ------
        ValueError
            If it is no answer.
        """
        try:
            answer = json.loads(body)
            return Items([item["item_id"] for item in answer["items"]], str(answer["model"]["version"]))
        except (KeyError, TypeError) as error:
            raise ValueError("no answer of POST /v1/recommend") from error


class HttpLane:
    """One kept connection, and a new one after it was closed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connection: _Connection | None = None

    async def ask(self, question: bytes) -> Reply:
        """Send a question, and wait for its reply."""
        connection = self._connection
        if connection is None or not connection.is_open:
            try:
                async with asyncio.timeout(REPLY_LIMIT_S):
                    _, made = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
            except TimeoutError:
                return Reply(TIMEOUT)
            except OSError:
                return Reply(UNREACHABLE)
            self._connection = connection = made
        return await connection.ask(question)

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.end(CLOSED)


class _Connection(asyncio.Protocol):
    """The event loop calls what asyncio.Protocol names, the parser what begins with ``on_``."""

    def __init__(self) -> None:
        self.is_open = False
        self._parser = httptools.HttpResponseParser(self)
        self._reply: asyncio.Future[Reply] | None = None
        self._parts: list[bytes] = []

    async def ask(self, question: bytes) -> Reply:
        if not self.is_open:  # it was closed as soon as it was made
            return Reply(CLOSED)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        self._reply = reply
        limit = loop.call_later(REPLY_LIMIT_S, self.end, TIMEOUT)
        self._transport.write(question)
        try:
            return await reply
        finally:
            limit.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.end(CLOSED)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        self.end(CLOSED)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        if not self._parser.should_keep_alive():
            # No question may be sent down here any more, also not before the loop has noticed the end.
            self.is_open = False
            self._transport.close()
        self._hand_over(Reply(str(self._parser.get_status_code()), body))

    def end(self, status: str) -> None:
        """Close, and let nobody wait for a reply that cannot come."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()
        self._hand_over(Reply(status))

    def _hand_over(self, reply: Reply) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)
