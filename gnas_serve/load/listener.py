"""Who listens at an address that gave no answer: nobody, one that speaks HTTP/2 as gRPC doors do, or another one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum

_LIMIT_S = 2.0
# RFC 9113, section 3.4: what a client begins with, and a frame of settings with none in it. A server that speaks HTTP/2
# begins with such a frame too.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_SETTINGS = 4
_NO_SETTINGS = bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])


class Listener(StrEnum):
    """What is known of who listens."""

    nobody = "nobody"
    http2 = "http2"
    other = "other"


async def listener_at(host: str, port: int) -> Listener:
    """Find out who listens, by one connection that asks nothing."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
    except OSError:  # a TimeoutError is one
        return Listener.nobody
    head = b""
    try:
        with suppress(OSError, asyncio.IncompleteReadError):
            writer.write(_PREFACE + _NO_SETTINGS)
            async with asyncio.timeout(_LIMIT_S):
                head = await reader.readexactly(_HEAD_BYTES)
    finally:
        writer.transport.abort()
    # The length of the frame, its type, its flags (1 would be the receipt of ours), and the number of no stream.
    return Listener.http2 if head[3:] == bytes([_SETTINGS, 0, 0, 0, 0, 0]) else Listener.other
