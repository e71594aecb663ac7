r"""Frames: an event as one line of a log, with what tells a whole line from a torn or altered one.

A line is ``LLLLLLLL CCCCCCCC PAYLOAD\n``: the length of the payload in bytes and its CRC-32, eight hexadecimal digits
each, and the event, its fields in their order, as a JSON array. JSON escapes line feeds, so that a line feed ends a
frame and nothing else: behind damage, the next frame is found again.
"""

from __future__ import annotations

from zlib import crc32

from pydantic_core import from_json, to_json

from gnas_serve.errors import RequestError
from gnas_serve.feedback.event import FeedbackEvent

_PAYLOAD = 18  # where it starts


def encode(event: FeedbackEvent) -> bytes:
    """Write an event that was checked as a line."""
    payload = to_json(event)
    return b"%08x %08x %b\n" % (len(payload), crc32(payload), payload)


def decode(line: bytes) -> FeedbackEvent | None:
    """Read a line, without its line feed; None where it is not one that :func:`encode` wrote."""
    payload = line[_PAYLOAD:]
    if line[:_PAYLOAD] != b"%08x %08x " % (len(payload), crc32(payload)):
        return None
    try:
        event = FeedbackEvent._make(from_json(payload))
        event.check()
    except (ValueError, TypeError, RequestError):  # whole, but not ours: laid there by somebody
        return None
    return event
