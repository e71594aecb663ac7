"""The HTTP door: ``/v1/...`` answered before BentoML's middlewares, everything else by BentoML.

BentoML's own endpoint costs some twenty times the CPU of a bare ASGI route per request. So these routes are
answered here, with limits, timeouts and metrics of their own: the long way, which may wait, or at once
(:mod:`gnas_serve.service.express`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any

from pydantic_core import to_json

from gnas_serve.service.admission import Admission
from gnas_serve.service.bodies import (
    ClientGoneError,
    Headers,
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
    RouteNotFoundError,
    SlowRequestError,
    UnsupportedMediaError,
)
from gnas_serve.service.problems import methods_of, problem_reply
from gnas_serve.service.request_head import RequestHead
from gnas_serve.service.routes import ROUTES, Asked, Route
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_Reply = tuple[HTTPStatus, bytes, Headers]

_PREFIX = "/v1/"
# curl says "form" of whatever -d sends unless told otherwise; the body has to be JSON all the same.
_JSON_TYPE = re.compile(rb"application/(?:(?:[\w.-]+\+)?json|x-www-form-urlencoded)\s*(?:;.*)?", re.IGNORECASE)
_CLIENT_GONE = "499"  # nginx's word for a caller who went away before the answer

_PATHS = sorted({route.path for route in ROUTES if not route.is_admin})
_UNKNOWN = "unknown"  # one label for whatever path was tried


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

    @property
    def is_open(self) -> bool:
        """Whether calls are answered."""
        return self._calls is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            if self._telemetry:
                self._telemetry.hand_on()  # it may be the metrics that are asked for
            await self._app(scope, receive, send)
            return
        head, code = RequestHead.of(scope), _CLIENT_GONE
        self._begin(head)
        try:
            try:
                status, body, headers = await self._answer(scope, head, receive)
            finally:
                self._in_flight -= 1  # whoever is slow to read an answer keeps nobody else from being answered
            code = str(status.value)
            await send_reply(send, receive, status, body, [(b"x-request-id", head.request_id), *headers])
        except ClientGoneError:
            pass
        finally:
            self._end(head, code)

    def answer_at_once(
        self, scope: Scope, route: Route, asked: Asked, write: Callable[[HTTPStatus, bytes, Headers], None]
    ) -> None:
        """Answer a request of an immediate call, whose body is there, before this returns.

        Parameters
        ----------
        write
            Is given the answer, whose length is not yet among its headers.
        """
        head, code = RequestHead.of(scope, route), _CLIENT_GONE
        self._begin(head)
        try:
            try:
                status, body, headers = self._answer_now(head, route, asked)
            finally:
                self._in_flight -= 1
            code = str(status.value)
            write(status, body, [(b"x-request-id", head.request_id), *headers])
        finally:
            self._end(head, code)

    def _begin(self, head: RequestHead) -> None:
        if self._telemetry:
            self._telemetry.began("http", head.traceparent, head.tracestate)
        self._in_flight += 1

    def _end(self, head: RequestHead, code: str) -> None:
        if self._telemetry:
            name = head.route.name if head.route else _UNKNOWN
            self._telemetry.ended("http", name, code, perf_counter() - head.began, head.request_id.decode())

    async def _answer(self, scope: Scope, head: RequestHead, receive: Receive) -> _Reply:
        try:
            calls, route = self._let_in(head)
            # An answer takes no turn of the event loop: of a thousand requests that are there each would find itself
            # alone, and the last would wait for all. Who waits for a turn is counted by those who come.
            await asyncio.sleep(0)
            _check_media(head)
            limit_s, began = self._settings.timeout_s, perf_counter()
            try:
                body = await within(limit_s, read_body(receive, self._settings.max_body_bytes))
            except TimeoutError as error:
                raise SlowRequestError(f"the body did not arrive within {limit_s:g} s") from error
            asked = Asked(body, scope.get("raw_path") or b"", scope.get("query_string") or b"")
            answer = route.handler(calls, asked)
            if not isinstance(answer, dict):
                try:
                    answer = await within(limit_s - (perf_counter() - began), answer)
                except TimeoutError as error:
                    raise DeadlineError(f"no answer within {limit_s:g} s", hint="ask for less at once") from error
            return _done(route, answer)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
            return problem_reply(error, head)

    def _answer_now(self, head: RequestHead, route: Route, asked: Asked) -> _Reply:
        try:
            calls, _ = self._let_in(head)
            # Requests that are there at the same time are read in one turn of the loop: who comes last waits for all
            # that are answered in it. Who is refused takes nobody's place.
            if self._in_this_turn == 0:
                asyncio.get_running_loop().call_soon(self._end_turn)
            self._in_this_turn += 1
            _check_media(head)
            return _done(route, route.handler(calls, asked))
        except Exception as error:  # noqa: BLE001  # as above
            return problem_reply(error, head)

    def _end_turn(self) -> None:
        self._in_this_turn = 0

    def _let_in(self, head: RequestHead) -> tuple[Calls, Route]:
        """Refuse a request by its head, if that is not as it should be or there is no room for it."""
        route = head.route
        is_admin = route is not None and route.is_admin
        self._admission.admit(head.authorization, head.api_key, head.peer, is_admin=is_admin)
        if route is None:
            raise RouteNotFoundError("there is no such call", hint=f"calls: {', '.join(_PATHS)}")
        if head.method != route.method:
            raise MethodNotAllowedError("wrong HTTP method", hint=f"use {methods_of(route)}")
        if head.content_length > self._settings.max_body_bytes:
            raise too_large(self._settings.max_body_bytes)
        if self._calls is None:
            raise NotReadyError("the model is not loaded yet", hint="try again in a second")
        if self._in_flight + self._in_this_turn > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")
        return self._calls, route


def _done(route: Route, answer: Any) -> _Reply:
    # Nine times faster than `json` on an answer of ten items, and as exact.
    return route.status, to_json(answer, inf_nan_mode="null"), [(b"content-type", b"application/json")]


def _check_media(head: RequestHead) -> None:
    if head.method != "POST":
        return
    if head.content_type and not _JSON_TYPE.fullmatch(head.content_type):
        raise UnsupportedMediaError("the content type is not JSON", hint="send application/json")
    if head.content_encoding.lower() != b"identity":
        raise UnsupportedMediaError("compressed bodies are not read", hint="send the JSON as it is")
