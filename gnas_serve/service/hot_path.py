"""The HTTP door: ``/v1/...`` and ``/`` answered before BentoML's middlewares, everything else by BentoML.

BentoML's own endpoint costs some twenty times the CPU of a bare ASGI route per request. So these routes are
answered here, with limits, timeouts and metrics of their own: the long way, which may wait, or step by step
(:mod:`gnas_serve.service.express`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any

from pydantic_core import to_json

from gnas_serve.runtime.stages import Staged, found_by
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
from gnas_serve.service.front_page import PATH, front_page
from gnas_serve.service.problems import methods_of, problem_reply
from gnas_serve.service.request_head import RequestHead
from gnas_serve.service.routes import ROUTES, Asked, Route
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.trail import Trail

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_Reply = tuple[HTTPStatus, bytes, Headers]

_PREFIX = "/v1/"
# curl says "form" of whatever -d sends unless told otherwise; the body has to be JSON all the same.
_JSON_TYPE = re.compile(rb"application/(?:(?:[\w.-]+\+)?json|x-www-form-urlencoded)\s*(?:;.*)?", re.IGNORECASE)
GONE = "499"
"""The code of a caller who went away before the answer, in nginx's words."""

_PATHS = sorted({route.path for route in ROUTES if not route.is_admin})
_UNKNOWN = "unknown"  # one label for whatever path was tried


@dataclass(slots=True)
class Passage:
    """The way of one request through the steps of an immediate call.

    Attributes
    ----------
    calls
        What answers; None of a request that was not let in.
    question
        What the call's ``read`` made of it.
    answer
        What the call's ``answer`` found.
    reply
        What is sent; of a request that is refused, from that step on.
    trail
        Where what happens to it is told, while other requests have their steps.
    is_in_flight
        Whether it takes up one of the places that there are.
    """

    head: RequestHead
    route: Route
    calls: Calls | None = None
    question: Any = None
    answer: Any = None
    reply: _Reply | None = None
    trail: Trail | None = None
    is_in_flight: bool = True


class HotPath:
    """An ASGI application in front of BentoML's.

    Parameters
    ----------
    app
        BentoML's application, for every path outside ``/v1/`` but the page at ``/``.
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
            await self._pass_by(scope, receive, send)
            return
        head, code = RequestHead.of(scope), GONE
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

    async def _pass_by(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is none of the calls; all but the page for people is BentoML's."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] in {"GET", "HEAD"}:
            await send_reply(send, receive, *front_page(self._settings))
            return
        if self._telemetry:
            self._telemetry.hand_on()  # it may be the metrics that are asked for
        await self._app(scope, receive, send)

    def take_in(self, head: RequestHead, route: Route, asked: Asked) -> Passage:
        """Let in and read a request of an immediate call, whose body is there; the first of its three steps."""
        passage = Passage(head, route)
        self._begin(passage.head)
        try:
            passage.calls, _ = self._let_in(passage.head)
            _check_media(passage.head)
            passage.question = route.read(asked)
        except Exception as error:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
            passage.reply = problem_reply(error, passage.head)
            self._leave(passage)  # who is refused takes nobody's place
        if self._telemetry:
            passage.trail = self._telemetry.set_aside()
        return passage

    def answered(self, passage: Passage, has_left: Callable[[], bool]) -> Staged[None]:
        """Answer a request that was taken in, unless it was refused or its caller has left; the second step."""
        if passage.reply is not None or passage.calls is None or has_left():
            return
        if self._telemetry:
            self._telemetry.take_up(passage.trail)
        try:
            passage.answer = yield from passage.route.answer(passage.calls, passage.question)
        except Exception as error:  # noqa: BLE001  # as above
            passage.reply = problem_reply(error, passage.head)

    def lay_out(self, passage: Passage) -> _Reply:
        """Make what is sent of the answer, or say why there is none; the third step, after which it is :meth:`over`."""
        reply = passage.reply
        if reply is None:
            try:
                reply = _done(passage.route, passage.route.lay_out(passage.question, passage.answer))
            except Exception as error:  # noqa: BLE001  # as above
                reply = problem_reply(error, passage.head)
        status, body, headers = reply
        return status, body, [(b"x-request-id", passage.head.request_id), *headers]

    def over(self, passage: Passage, code: str) -> None:
        """Count a request out; to be called once of each that was taken in.

        Parameters
        ----------
        code
            What it was answered with; :data:`GONE` of a caller who left.
        """
        self._leave(passage)
        if self._telemetry:
            self._telemetry.take_up(passage.trail)
        self._end(passage.head, code)

    def _leave(self, passage: Passage) -> None:
        if passage.is_in_flight:
            passage.is_in_flight = False
            self._in_flight -= 1

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
            question = route.read(asked)
            answer = route.answer(calls, question)
            if route.is_immediate:
                answer = found_by(answer)
            else:
                limit_s = max(limit_s, route.limit_s)
                try:
                    answer = await within(limit_s - (perf_counter() - began), answer)
                except TimeoutError as error:
                    raise DeadlineError(f"no answer within {limit_s:g} s", hint=route.late) from error
            return _done(route, route.lay_out(question, answer))
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
            return problem_reply(error, head)

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
        if self._in_flight > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")
        return self._calls, route


def _done(route: Route, document: dict[str, Any]) -> _Reply:
    # Nine times faster than `json` on an answer of ten items, and as exact.
    return route.status, to_json(document, inf_nan_mode="null"), [(b"content-type", b"application/json")]


def _check_media(head: RequestHead) -> None:
    if head.method != "POST":
        return
    if head.content_type and not _JSON_TYPE.fullmatch(head.content_type):
        raise UnsupportedMediaError("the content type is not JSON", hint="send application/json")
    if head.content_encoding.lower() != b"identity":
        raise UnsupportedMediaError("compressed bodies are not read", hint="send the JSON as it is")
