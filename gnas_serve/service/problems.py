"""Problems: what a caller over HTTP is told of an error, as a document and in headers."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from gnas_serve.errors import GnasError, ProviderError, RequestTooLargeError
from gnas_serve.service.bodies import Headers
from gnas_serve.service.errors import (
    InvalidFieldError,
    MethodNotAllowedError,
    NotReadyError,
    OverloadedError,
    RateLimitedError,
    SlowRequestError,
    UnauthenticatedError,
    detail_of,
    is_own_fault,
    statuses_of,
)
from gnas_serve.service.request_head import RequestHead
from gnas_serve.service.routes import ROUTES, Route

_TYPE = (b"content-type", b"application/problem+json")

_log = logging.getLogger(__name__)


def problem(error: GnasError) -> tuple[HTTPStatus, bytes]:
    """Describe an error as a problem document.

    Returns
    -------
    HTTPStatus, bytes
        The status, and the ``application/problem+json`` body.

    References
    ----------
    RFC 9457, Problem Details for HTTP APIs.
    """
    status = statuses_of(error).http
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail_of(error),
        "code": error.code,
    }
    if isinstance(error, InvalidFieldError) and error.field:
        document["field"] = error.field
    return status, json.dumps(document).encode()


def problem_reply(error: Exception, head: RequestHead) -> tuple[HTTPStatus, bytes, Headers]:
    """Answer a request with what went wrong; what is the server's own fault, a bug among it, is logged.

    Returns
    -------
    HTTPStatus, bytes, list of (bytes, bytes)
        Status, body and headers.
    """
    if not isinstance(error, GnasError):
        _log.error("request %s failed", head.request_id.decode(), exc_info=error)
        return *problem(GnasError("unexpected", code="internal")), [_TYPE]
    if is_own_fault(error):
        _log.error("request %s failed", head.request_id.decode(), exc_info=error)
    return *problem(error), [_TYPE, *_consequences(error, head.route)]


def methods_of(route: Route) -> str:
    """Name the HTTP methods that the path of a call has."""
    return ", ".join(one.method for one in ROUTES if one.path == route.path)


def _consequences(error: GnasError, route: Route | None) -> Headers:
    """Say which headers an error brings along."""
    if isinstance(error, MethodNotAllowedError) and route is not None:
        return [(b"allow", methods_of(route).encode())]
    if isinstance(error, (NotReadyError, OverloadedError, ProviderError)):
        return [(b"retry-after", b"1")]
    if isinstance(error, RateLimitedError):
        return [(b"retry-after", str(error.wait_s).encode())]
    if isinstance(error, UnauthenticatedError):
        return [(b"www-authenticate", b"Bearer")]
    if isinstance(error, (RequestTooLargeError, SlowRequestError)):
        return [(b"connection", b"close")]
    return []
