"""Where errors become statuses: one table for both doors, and the errors that only a door can raise.

::

    GnasError
    ├── RequestError
    │   ├── HeadTooLargeError        path and headers are too long
    │   ├── InvalidFieldError        a field of a request is not what it should be
    │   ├── RouteNotFoundError       no such call
    │   ├── ArtifactNotFoundError    there is no version of that name
    │   ├── RefusedArtifactError     a version that was to be served cannot be
    │   ├── MethodNotAllowedError    the call exists, with another HTTP method
    │   ├── UnauthenticatedError     no valid key or token
    │   └── UnsupportedMediaError    the body is not JSON by its headers
    ├── SlowRequestError             the body did not arrive in time
    ├── DeadlineError                the answer was not ready in time
    ├── FeatureOffError              the server was started without what the call needs
    ├── NotReadyError                the model is not loaded yet, or something it needs is not there for now
    ├── OverloadedError              too many requests at once
    └── RateLimitedError             too many requests of one caller
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from grpc import StatusCode

from gnas_serve.errors import (
    ConfigError,
    DataError,
    ExportError,
    FeatureError,
    GnasError,
    IntegrityError,
    ItemNotFoundError,
    LatencyError,
    MissingExtraError,
    NoViableTrialError,
    ProviderError,
    QualityGateError,
    RequestError,
    RequestTooLargeError,
    StorageError,
    UserNotFoundError,
)


class InvalidFieldError(RequestError):
    """A field of a request is missing, unknown or not what it should be.

    Parameters
    ----------
    message
        What was expected.
    field
        Where, e.g. ``queries.3.k``; empty for the body as a whole.
    code
        Stable machine-readable name.
    """

    def __init__(self, message: str, *, field: str, code: str) -> None:
        super().__init__(f"{field}: {message}" if field else message, code=code)
        self.field = field


class HeadTooLargeError(RequestError):
    """Path and headers are too long; not for a body (:class:`gnas_serve.errors.RequestTooLargeError`)."""

    code = "head_too_large"


class RouteNotFoundError(RequestError):
    """No such call; not for an unknown item (:class:`gnas_serve.errors.ItemNotFoundError`)."""

    code = "not_found"


class MethodNotAllowedError(RequestError):
    """The call exists, with another HTTP method."""

    code = "method_not_allowed"


class UnsupportedMediaError(RequestError):
    """The body is not JSON by its headers."""

    code = "unsupported_media_type"


class ArtifactNotFoundError(RequestError):
    """There is no version of that name; not for one that is there and cannot be served."""

    code = "no_artifact"


class RefusedArtifactError(RequestError):
    """A version that was to be served cannot be: damaged, of a newer format, unusable, or none to go back to."""

    code = "artifact_refused"


class UnauthenticatedError(RequestError):
    """There is no valid key or token."""

    code = "unauthenticated"


class SlowRequestError(GnasError):
    """The body did not arrive in time."""

    code = "request_timeout"


class DeadlineError(GnasError):
    """The answer was not ready in time."""

    code = "deadline_exceeded"


class FeatureOffError(GnasError):
    """The server was started without what the call needs."""

    code = "feature_off"


class NotReadyError(GnasError):
    """The model is not loaded yet, or something that the call needs is not there for now."""

    code = "not_ready"


class OverloadedError(GnasError):
    """Too many requests at once; not for those of one caller (:class:`RateLimitedError`)."""

    code = "overloaded"


class RateLimitedError(GnasError):
    """Too many requests of one caller.

    Parameters
    ----------
    message, hint
        As of every error.
    wait_s
        After how many seconds the next one may come.
    """

    code = "rate_limited"

    def __init__(self, message: str, *, hint: str, wait_s: int) -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


CODE_KEY = "gnas-code"  # the trailing metadata that holds an error's code in gRPC
HIDDEN = "the server failed to answer; its log has the reason"


@dataclass(frozen=True)
class Statuses:
    """What both protocols say of one class of error."""

    http: HTTPStatus
    grpc: StatusCode


STATUSES: dict[type[GnasError], Statuses] = {
    ArtifactNotFoundError: Statuses(HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    ConfigError: Statuses(HTTPStatus.BAD_REQUEST, StatusCode.FAILED_PRECONDITION),
    DataError: Statuses(HTTPStatus.UNPROCESSABLE_ENTITY, StatusCode.FAILED_PRECONDITION),
    DeadlineError: Statuses(HTTPStatus.GATEWAY_TIMEOUT, StatusCode.DEADLINE_EXCEEDED),
    ExportError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
    FeatureError: Statuses(HTTPStatus.UNPROCESSABLE_ENTITY, StatusCode.INVALID_ARGUMENT),
    FeatureOffError: Statuses(HTTPStatus.NOT_IMPLEMENTED, StatusCode.UNIMPLEMENTED),
    GnasError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
    HeadTooLargeError: Statuses(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, StatusCode.RESOURCE_EXHAUSTED),
    IntegrityError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.DATA_LOSS),
    ItemNotFoundError: Statuses(HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    LatencyError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
    MethodNotAllowedError: Statuses(HTTPStatus.METHOD_NOT_ALLOWED, StatusCode.UNIMPLEMENTED),
    MissingExtraError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.FAILED_PRECONDITION),
    NoViableTrialError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
    NotReadyError: Statuses(HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    OverloadedError: Statuses(HTTPStatus.TOO_MANY_REQUESTS, StatusCode.RESOURCE_EXHAUSTED),
    ProviderError: Statuses(HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    QualityGateError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
    RateLimitedError: Statuses(HTTPStatus.TOO_MANY_REQUESTS, StatusCode.RESOURCE_EXHAUSTED),
    RefusedArtifactError: Statuses(HTTPStatus.CONFLICT, StatusCode.FAILED_PRECONDITION),
    RequestError: Statuses(HTTPStatus.BAD_REQUEST, StatusCode.INVALID_ARGUMENT),
    RequestTooLargeError: Statuses(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, StatusCode.RESOURCE_EXHAUSTED),
    RouteNotFoundError: Statuses(HTTPStatus.NOT_FOUND, StatusCode.UNIMPLEMENTED),
    SlowRequestError: Statuses(HTTPStatus.REQUEST_TIMEOUT, StatusCode.DEADLINE_EXCEEDED),
    StorageError: Statuses(HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.UNAVAILABLE),
    UnauthenticatedError: Statuses(HTTPStatus.UNAUTHORIZED, StatusCode.UNAUTHENTICATED),
    UserNotFoundError: Statuses(HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    UnsupportedMediaError: Statuses(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, StatusCode.INVALID_ARGUMENT),
}
"""A class without a row of its own has its parent's."""


def statuses_of(error: GnasError) -> Statuses:
    """Look up what to answer for an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def is_own_fault(error: GnasError) -> bool:
    """Tell whether an error is the server's own: for its log, and not for callers, since it may name paths."""
    return isinstance(error, ProviderError) or statuses_of(error).http is HTTPStatus.INTERNAL_SERVER_ERROR


def detail_of(error: GnasError) -> str:
    """Say as much of an error as callers may know."""
    return HIDDEN if is_own_fault(error) else str(error)
