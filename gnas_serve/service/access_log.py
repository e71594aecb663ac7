"""The access log: a line per request, in which users are told apart and cannot be told who they are."""

from __future__ import annotations

import logging
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gnas_serve.errors import ConfigError
from gnas_serve.service.settings import Settings
from gnas_serve.vocabulary import Id

_LEAST_KEY_BYTES = 16
_MOST_KEY_BYTES = 1 << 16

_log = logging.getLogger(__name__)


class Pseudonyms:
    """Names users by a keyed hash.

    Parameters
    ----------
    key
        Any bytes. Whoever has them can find a user again whose id they know, and nobody else can.

    References
    ----------
    RFC 7693, BLAKE2: keyed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, digest_size=32).digest()

    @classmethod
    def read(cls, path: Path) -> Pseudonyms:
        """Take the key from a file.

        Raises
        ------
        ConfigError
            If it cannot be read or is too short.
        """
        try:
            with path.open("rb") as file:
                key = file.read(_MOST_KEY_BYTES).strip()
        except OSError as error:
            raise ConfigError(
                f"GNAS_LOG_KEY={path}: {error.strerror}", hint="give a file with a secret: openssl rand -hex 32"
            ) from error
        if len(key) < _LEAST_KEY_BYTES:
            raise ConfigError(
                f"GNAS_LOG_KEY={path}: {len(key)} bytes, expected {_LEAST_KEY_BYTES} or more",
                hint="make one: openssl rand -hex 32",
            )
        return cls(key)

    def of(self, user_id: Id) -> str:
        """Name a user: 32 hexadecimal digits, of an integer id and its decimal text the same."""
        return blake2b(str(user_id).encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).hexdigest()


class AccessLog:
    """Writes a line for each request.

    Parameters
    ----------
    pseudonyms
        What the lines call users.
    """

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    @classmethod
    def of(cls, settings: Settings) -> AccessLog | None:
        """Prepare the log that the settings ask for; without a key of theirs it is drawn at each start of a worker.

        Raises
        ------
        ConfigError
            As :meth:`Pseudonyms.read`.
        """
        if not settings.access_log:
            return None
        return cls(
            Pseudonyms(secrets.token_bytes(32)) if settings.log_key is None else Pseudonyms.read(settings.log_key)
        )

    def write(
        self,
        door: str,
        method: str,
        code: str,
        duration_s: float,
        request_id: str,
        *,
        user_id: Id | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Write one line.

        Parameters
        ----------
        door, method, code, duration_s, request_id
            As :meth:`gnas_serve.service.telemetry.Telemetry.ended`.
        user_id
            Who it was about, where that is one user.
        trace_id
            Where it was traced.
        """
        fields: dict[str, Any] = {
            "door": door,
            "method": method,
            "code": code,
            "duration_ms": round(duration_s * 1e3, 3),
            "request_id": request_id,
        }
        if user_id is not None:
            fields["user"] = self._pseudonyms.of(user_id)
        if trace_id is not None:
            fields["trace_id"] = trace_id
        _log.info(
            "%s %s %s %.2f ms %s", door, method, code, duration_s * 1e3, request_id or "-", extra={"fields": fields}
        )
