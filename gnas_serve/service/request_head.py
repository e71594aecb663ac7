"""The head of a request at the HTTP door: of all that it says, what matters here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter

from gnas_serve.service.bodies import Scope
from gnas_serve.service.request_ids import request_id_of
from gnas_serve.service.routes import Route, find_routes

BEGAN = "gnas_serve.began"
"""Where the state of a scope says when the first byte of its request was read, in seconds of ``perf_counter``."""


@dataclass(slots=True)  # not frozen: that would make it three times as slow, once for each request
class RequestHead:
    """What a request says before its body.

    Attributes
    ----------
    method, peer
        As ASGI gives them: the latter is the caller's address.
    route
        The call of its path, with its method where there is one; None where the path is none.
    began
        When its first byte was read, in seconds of ``perf_counter``.
    request_id
        The caller's, or one of ours.
    content_length
        0 where it does not say.
    """

    method: str
    peer: str
    route: Route | None
    began: float
    request_id: bytes
    content_type: bytes
    content_encoding: bytes
    content_length: int
    authorization: bytes
    api_key: bytes
    traceparent: bytes
    tracestate: bytes

    @classmethod
    def of(cls, scope: Scope) -> RequestHead:
        """Read it where ASGI has it."""
        return cls.of_headers(
            scope["method"],
            str((scope.get("client") or ("",))[0]),
            _route(scope["path"], scope.get("raw_path") or b"", scope["method"]),
            scope.get("state", {}).get(BEGAN) or perf_counter(),
            scope["headers"],
        )

    @classmethod
    def of_headers(
        cls, method: str, peer: str, route: Route | None, began: float, headers: Iterable[tuple[bytes, bytes]]
    ) -> RequestHead:
        """Read the rest of it in its headers, whose names are in small letters; parameters as the attributes."""
        found = dict(headers)
        length = found.get(b"content-length", b"0")
        return cls(
            method,
            peer,
            route,
            began,
            request_id_of(found.get(b"x-request-id", b"")),
            found.get(b"content-type", b""),
            found.get(b"content-encoding", b"identity"),
            int(length) if length.isdigit() and len(length) < 20 else 0,
            found.get(b"authorization", b""),
            found.get(b"x-api-key", b""),
            found.get(b"traceparent", b""),
            found.get(b"tracestate", b""),
        )


def _route(path: str, raw_path: bytes, method: str) -> Route | None:
    """Find the call of a path; of one with another method any, which names those that there are."""
    route = None
    for route in find_routes(path, raw_path):
        if route.method == method:
            break
    return route
