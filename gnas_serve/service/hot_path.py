"""The HTTP door: ``/v1/...`` answered before BentoML's middlewares, everything else by BentoML.

BentoML's own endpoint costs some twenty times the CPU of a bare ASGI route per request. So these routes are
answered here, with limits, timeouts, metrics and problem documents of their own.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

from pydantic_core import to_json

from gnas_serve.errors import GnasError, RequestTooLargeError
from gnas_serve.service.admission import Admission
from gnas_serve.service.bodies import (
    ClientGoneError,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    read_body,
    send_reply,
    too_large,
)
from gnas_serve.service.calls import Calls
from gnas_serve.service.deadline import within
from gnas_serve.service.errors import (
    DeadlineError,
    MethodNotAllowedError,
    NotReadyError,
    OverloadedError,
    RateLimitedError,
    RouteNotFoundError,
    SlowRequestError,
    UnauthenticatedError,
    UnsupportedMediaError,
    is_own_fault,
    problem,
)
from gnas_serve.service.request_ids import request_id_of
from gnas_serve.service.routes import ROUTES, Asked, Route, find_routes
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PREFIX = "/v1/"
# curl says "form" of whatever -d sends unless told otherwise; the body has to be JSON all the same.
_JSON_TYPE = re.compile(rb"application/(?:(?:[\w.-]+\+)?json|x-www-form-urlencoded)\s*(?:;.*)?", re.IGNORECASE)
_CLIENT_GONE = "499"  # nginx's word for a caller who went away before the answer

_log = logging.getLogger(__name__)


_PATHS = sorted({route.path for route in ROUTES if not route.is_admin})
_UNKNOWN = "unknown"  # one label for whatever path was tried


@dataclass(slots=True)  # not frozen: that would make it three times as slow, once for each request
class _Headers:
    """The request headers that matter here."""

    request_id: bytes
    content_type: bytes
    content_encoding: bytes
    content_length: int
    authorization: bytes
    api_key: bytes
    traceparent: bytes
    tracestate: bytes

    @classmethod
    def of(cls, scope: Scope) -> _Headers:
        found = dict(scope["headers"])
        length = found.get(b"content-length", b"0")
        return cls(
            request_id_of(found.get(b"x-request-id", b"")),
            found.get(b"content-type", b""),
            found.get(b"content-encoding", b"identity"),
            int(length) if length.isdigit() and len(length) < 20 else 0,
            found.get(b"authorization", b""),
            found.get(b"x-api-key", b""),
            found.get(b"traceparent", b""),
            found.get(b"tracestate", b""),
        )


class HotPath:
    """An ASGI application in front of BentoML's.

    Parameters
    ----------
    app
        BentoML's application, for every path outside ``/v1/``.
    settings
        Limits and timeouts.
    admission
        Who may call, and how often.
    """

    def __init__(self, app: AsgiApp, settings: Settings, admission: Admission) -> None:
        self._app = app
        self._settings = settings
        self._admission = admission
        self._calls: Calls | None = None
        self._telemetry: Telemetry | None = None
        self._in_flight = 0
        self._in_this_turn = 0  # answered at once

    def open(self, calls: Calls, telemetry: Telemetry) -> None:
        """Begin to answer; until then every call is refused as not ready."""
        self._calls = calls
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            if self._telemetry:
                self._telemetry.hand_on()  # it may be the metrics that are asked for
            await self._app(scope, receive, send)
            return

        def reply(status: HTTPStatus, body: bytes, headers: Headers) -> Awaitable[None]:
            return send_reply(send, receive, status, body, headers)

        await self._serve(scope, receive, reply)

    @property
    def is_open(self) -> bool:
        """Whether calls are answered."""
        return self._calls is not None

    def answer_at_once(self, scope: Scope, body: bytes, write: Callable[[HTTPStatus, bytes, Headers], None]) -> None:
        """Answer a request of an immediate route, whose body is there, before this returns.

        Parameters
        ----------
        write
            Is given the answer, whose length is not yet among its headers.
        """
        if self._in_this_turn == 0:
            # Requests that are there at the same time are read in one turn of the loop: who comes last waits for all.
            asyncio.get_running_loop().call_soon(self._end_turn)

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def reply(status: HTTPStatus, body: bytes, headers: Headers) -> None:
            write(status, body, headers)

        work = self._serve(scope, receive, reply, is_whole=True)
        try:
            work.send(None)
        except StopIteration:
            return
        finally:
            self._in_this_turn += 1
        work.close()
        raise RuntimeError(f"the answer to {scope['path']} waits for something")

    def _end_turn(self) -> None:
        self._in_this_turn = 0

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        reply: Callable[[HTTPStatus, bytes, Headers], Awaitable[None]],
        *,
        is_whole: bool = False,
    ) -> None:
        headers = _Headers.of(scope)
        routes = find_routes(scope["path"], scope.get("raw_path") or b"")
        route = None
        for route in routes:
            if route.method == scope["method"]:
                break
        name = route.name if route else _UNKNOWN
        code = _CLIENT_GONE
        started = perf_counter()
        if self._telemetry:
            self._telemetry.began("http", headers.traceparent, headers.tracestate)
        self._in_flight += 1
        try:
            try:
                status, body, extra = await self._answer(scope, route, headers, receive, is_whole=is_whole)
            finally:
                self._in_flight -= 1  # whoever is slow to read an answer keeps nobody else from being answered
            code = str(status.value)
            await reply(status, body, [(b"x-request-id", headers.request_id), *extra])
        except ClientGoneError:
            pass
        finally:
            if self._telemetry:
                self._telemetry.ended("http", name, code, perf_counter() - started, headers.request_id.decode())

    async def _answer(
        self, scope: Scope, route: Route | None, headers: _Headers, receive: Receive, *, is_whole: bool
    ) -> tuple[HTTPStatus, bytes, Headers]:
        try:
            content = await self._content(scope, route, headers, receive, is_whole=is_whole)
        except GnasError as error:
            status, body = problem(error)
            if is_own_fault(error):
                _log.error("request %s failed", headers.request_id.decode(), exc_info=error)
            return status, body, [(b"content-type", b"application/problem+json"), *_consequences(error, route)]
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
            _log.exception("request %s failed", headers.request_id.decode())
            status, body = problem(GnasError("unexpected", code="internal"))
            return status, body, [(b"content-type", b"application/problem+json")]
        status = HTTPStatus.OK if route is None else route.status
        return status, content, [(b"content-type", b"application/json")]

    async def _content(
        self, scope: Scope, route: Route | None, headers: _Headers, receive: Receive, *, is_whole: bool
    ) -> bytes:
        peer = str((scope.get("client") or ("",))[0])
        is_admin = route is not None and route.is_admin
        self._admission.admit(headers.authorization, headers.api_key, peer, is_admin=is_admin)
        if route is None:
            raise RouteNotFoundError("there is no such call", hint=f"calls: {', '.join(_PATHS)}")
        if scope["method"] != route.method:
            raise MethodNotAllowedError("wrong HTTP method", hint=f"use {_methods(route)}")
        most = self._settings.max_body_bytes
        if headers.content_length > most:
            raise too_large(most)
        if self._calls is None:
            raise NotReadyError("the model is not loaded yet", hint="try again in a second")
        if self._in_flight + self._in_this_turn > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")
        if not is_whole:
            # An answer takes no turn of the event loop: of a thousand requests that are there each would find itself
            # alone, and the last would wait for all. Who waits for a turn is counted by those who come.
            await asyncio.sleep(0)
        if route.method == "POST":
            _check_media(headers)
        limit_s, began = self._settings.timeout_s, perf_counter()
        try:
            body = await within(limit_s, read_body(receive, most))
        except TimeoutError as error:
            raise SlowRequestError(f"the body did not arrive within {limit_s:g} s") from error
        asked = Asked(body, scope.get("raw_path") or b"", scope.get("query_string") or b"")
        try:
            answer = await within(limit_s - (perf_counter() - began), route.handler(self._calls, asked))
        except TimeoutError as error:
            raise DeadlineError(f"no answer within {limit_s:g} s", hint="ask for less at once") from error
        # Nine times faster than `json` on an answer of ten items, and as exact.
        return to_json(answer, inf_nan_mode="null")


def _check_media(headers: _Headers) -> None:
    if headers.content_type and not _JSON_TYPE.fullmatch(headers.content_type):
        raise UnsupportedMediaError("the content type is not JSON", hint="send application/json")
    if headers.content_encoding.lower() != b"identity":
        raise UnsupportedMediaError("compressed bodies are not read", hint="send the JSON as it is")


def _consequences(error: GnasError, route: Route | None) -> Headers:
    """Say which headers an error brings along."""
    if isinstance(error, MethodNotAllowedError) and route is not None:
        return [(b"allow", _methods(route).encode())]
    if isinstance(error, (NotReadyError, OverloadedError)):
        return [(b"retry-after", b"1")]
    if isinstance(error, RateLimitedError):
        return [(b"retry-after", str(error.wait_s).encode())]
    if isinstance(error, UnauthenticatedError):
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(error, (RequestTooLargeError, SlowRequestError)):
        return [(b"connection", b"close")]
    return []


def _methods(route: Route) -> str:
    return ", ".join(one.method for one in ROUTES if one.path == route.path)
