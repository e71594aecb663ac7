"""What an answer to somebody else's nonsense must not tell: how the server is built, and where it lies."""

from __future__ import annotations

import re

# Tracebacks, paths of files, modules and classes of the code, addresses of objects.
_INTERNAL = re.compile(
    r"Traceback|\.py\b|site-packages|/(?:home|root|tmp|usr|opt|var|etc|work)/|\bgnas_serve\.(?!v1\b)|\b(?:pydantic|numpy|uvicorn"
    r"|bentoml|starlette|google\.protobuf|grpc\._cython)\b[._]|Exception|Error\(|\bobject at 0x",
    re.IGNORECASE,
)


def leak_of(text: str) -> str | None:
    """Find something internal in a text; what callers sent themselves is to be left out before."""
    found = _INTERNAL.search(text)
    return None if found is None else text[max(0, found.start() - 40) : found.end() + 40]
