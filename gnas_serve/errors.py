"""Everything that can go wrong outside our own code, as one tree.

::

    GnasError                     exit  HTTP  raised when
    ├── ConfigError                  2   400  a flag, a config file or a name is wrong
    ├── DataError                    3   422  the logs or features cannot be used as they are
    │   └── DataMismatchError        3   422  a study or checkpoint was made from other data
    ├── NoViableTrialError           4   500  a study ended without one usable model
    ├── ExportError                  5   500  an export step failed
    │   └── ParityError              5   500  two forms of one model disagree
    ├── QualityGateError             6   500  an exported form is worse than its gate allows
    ├── LatencyError                 7   500  a stated latency objective is missed
    ├── IntegrityError               8   500  a checkpoint or artifact is truncated or altered
    │   └── FormatVersionError       8   500  it was written by a newer gnas-serve
    ├── MissingExtraError            9   500  an optional dependency group is not installed
    ├── ProviderError                9   503  what the ranker computes on fails at it
    ├── OfflineError                 9   500  something wanted the network where none may be used
    ├── StorageError                10   500  disk full, port taken, permission denied
    └── RequestError                 -   400  a request to the service is malformed
        ├── FeatureError             -   422  what is told of a user or an unseen item, and this model cannot take
        ├── ItemNotFoundError        -   404  a question about an item that the model does not know
        ├── UserNotFoundError        -   404  a question that only a user whom the model knows can be answered
        └── RequestTooLargeError     -   413  a body is over its limit

Programmer mistakes are ``ValueError`` / ``TypeError``, never a ``GnasError``.
The HTTP and gRPC statuses are in :mod:`gnas_serve.service.errors`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GnasError(Exception):
    """Bad data, config, artifact or request; not for programmer mistakes.

    Parameters
    ----------
    message
        What was expected, what was found and where (file, row, field), in one line.
    hint
        What to do about it, in one line.
    code
        Stable machine-readable name; the class's own when not given.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(GnasError):
    """A flag, a config file or a name is wrong; not for bad data (:class:`DataError`)."""

    code = "config"
    exit_code = 2


class DataError(GnasError):
    """The logs or features cannot be used as they are; not for damaged artifacts (:class:`IntegrityError`)."""

    code = "data"
    exit_code = 3


class DataMismatchError(DataError):
    """A study or checkpoint was made from other data than the data given."""

    code = "data_mismatch"


class NoViableTrialError(GnasError):
    """A study ended without one usable model."""

    code = "no_viable_trial"
    exit_code = 4


class ExportError(GnasError):
    """An export step failed; not for a model that is merely worse (:class:`QualityGateError`)."""

    code = "export"
    exit_code = 5


class ParityError(ExportError):
    """Two forms of one model disagree beyond the stated tolerance."""

    code = "parity"


class QualityGateError(GnasError):
    """An exported form is worse than its gate allows."""

    code = "quality_gate"
    exit_code = 6


class LatencyError(GnasError):
    """A stated latency objective is missed."""

    code = "latency"
    exit_code = 7


class IntegrityError(GnasError):
    """A checkpoint or artifact is truncated or altered; not for a path that does not exist (:class:`ConfigError`)."""

    code = "integrity"
    exit_code = 8


class FormatVersionError(IntegrityError):
    """A checkpoint or artifact was written by a newer gnas-serve."""

    code = "format_version"


class MissingExtraError(GnasError):
    """An optional dependency group is not installed."""

    code = "missing_extra"
    exit_code = 9


class ProviderError(GnasError):
    """What the ranker computes on fails at it, a device without memory left; not for one that is not there.

    That one is a :class:`MissingExtraError`.
    """

    code = "provider_failed"
    exit_code = 9


class OfflineError(GnasError):
    """Something wanted the network of a command that was to do without; not for a network that fails."""

    code = "offline"
    exit_code = 9


class StorageError(GnasError):
    """Disk full, port taken, permission denied; not for a damaged file (:class:`IntegrityError`)."""

    code = "storage"
    exit_code = 10


class RequestError(GnasError):
    """A request to the service is malformed."""

    code = "invalid_request"
    exit_code = 2


class FeatureError(RequestError):
    """What is told of a user or an unseen item, and this model cannot take; not for what no model could.

    That is a plain :class:`RequestError`, and an item that is unknown and not told of an :class:`ItemNotFoundError`.
    """

    code = "feature"


class ItemNotFoundError(RequestError):
    """A question about an item that the model does not know; not for a user (:class:`UserNotFoundError`)."""

    code = "item_not_found"


class UserNotFoundError(RequestError):
    """A strict question of, or one about, a user whom the model does not know; any other answers everybody."""

    code = "user_not_found"


class RequestTooLargeError(RequestError):
    """A body is over its limit."""

    code = "request_too_large"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not one of ``known``, suggesting the nearest.

    Returns
    -------
    ConfigError
        To be raised by the caller, so that the traceback starts there.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return ConfigError(f"unknown {kind} {name!r}", hint=f"{hint}known: {', '.join(names)}", code=f"unknown_{kind}")
