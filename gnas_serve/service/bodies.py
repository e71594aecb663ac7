"""Bodies at the HTTP door: read within a limit, and written so that the caller sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from gnas_serve.errors import RequestTooLargeError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DISCARD_BYTES = 32 << 20
_DISCARD_S = 5.0


class ClientGoneError(Exception):
    """The caller closed the connection before the answer."""


async def read_body(receive: Receive, most: int) -> bytes:
    """Read a request's body.

    Raises
    ------
    RequestTooLargeError
        If it is over a number of bytes.
    ClientGoneError
        If the caller left before its end.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise too_large(most)
        return body
    parts, length = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        length += len(part)
        if length > most:
            raise too_large(most)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def too_large(most: int) -> RequestTooLargeError:
    """Say that a body is too large."""
    return RequestTooLargeError(f"the body is over {most} bytes", hint="ask in several requests", code="body_too_large")


async def send_reply(send: Send, receive: Receive, status: HTTPStatus, body: bytes, headers: Headers) -> None:
    """Write an answer, as ASGI has it."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    if status is not HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        await send({"type": "http.response.body", "body": body})
        return
    # The answer is out, the connection is to be closed. But closing with unread bytes resets it, and a caller still
    # busy sending would never see why: so what comes is thrown away for a while, without being kept.
    await send({"type": "http.response.body", "body": body, "more_body": True})
    discarded = 0
    try:
        async with asyncio.timeout(_DISCARD_S):
            while discarded < _DISCARD_BYTES:
                message = await receive()
                discarded += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})
