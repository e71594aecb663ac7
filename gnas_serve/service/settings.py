"""What an operator may set, from environment variables, read once and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gnas_serve.errors import ConfigError

# The layout of a Bento's `src` folder and of a checkout alike: build/artifact beside the package.
DEFAULT_ARTIFACT = Path(__file__).resolve().parents[2] / "build" / "artifact"
MAX_BODY_BYTES = 1 << 20

_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Settings:
    """How one server runs.

    Attributes
    ----------
    artifact
        ``GNAS_ARTIFACT``: folder of the artifact; ``build/artifact`` beside the package when not set.
    verify
        ``GNAS_VERIFY``: hash every file of the artifact at start; true when not set.
    grpc_host, grpc_port
        ``GNAS_GRPC_HOST``, ``GNAS_GRPC_PORT``: where the gRPC door listens; 0.0.0.0 and 3001 when not set.
        (The HTTP door's are BentoML's own, ``BENTOML_HOST`` and ``BENTOML_PORT``.)
    workers
        ``GNAS_WORKERS``: processes that share both ports; 1 when not set.
    max_in_flight
        ``GNAS_MAX_IN_FLIGHT``: requests per worker and door that may wait or run at once; 256 when not set.
    timeout_s
        ``GNAS_TIMEOUT_S``: longest time for one request, reading its body included; 10 when not set. An HTTP
        connection is closed as well after so long without a whole request head.
    drain_s
        ``GNAS_DRAIN_S``: how long calls in flight at either door may go on after a stop was asked for; 10 when not
        set. Its first quarter, one second at most, is the time in which the doors say that they are going to close
        and still take new calls; from there on the HTTP door counts in whole seconds, rounded up.
    access_log
        ``GNAS_ACCESS_LOG``: one log line per request; false when not set.
    """

    artifact: Path
    verify: bool = True
    grpc_host: str = "0.0.0.0"  # noqa: S104  # a container listens everywhere; `gnas-serve serve` says 127.0.0.1
    grpc_port: int = 3001
    workers: int = 1
    max_in_flight: int = 256
    timeout_s: float = 10.0
    drain_s: float = 10.0
    access_log: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read and check the settings.

        Parameters
        ----------
        environment
            ``os.environ`` when not given.

        Raises
        ------
        ConfigError
            Naming the variable, or both places where an artifact was looked for.
        """
        variables = os.environ if environment is None else environment
        given = variables.get("GNAS_ARTIFACT", "")
        artifact = Path(given).expanduser().absolute() if given else DEFAULT_ARTIFACT
        if not (artifact / "manifest.json").is_file():
            tried = f"GNAS_ARTIFACT={given} is not the folder of one" if given else "GNAS_ARTIFACT is not set"
            default = f"{DEFAULT_ARTIFACT} is looked at only without it" if given else f"{DEFAULT_ARTIFACT} is not one"
            raise ConfigError(
                f"no artifact to serve: {tried}, and {default}",
                hint="set GNAS_ARTIFACT to the folder that `gnas-serve export` wrote, or run `make quickstart`",
                code="no_artifact",
            )
        return cls(
            artifact=artifact,
            verify=_read(variables, "GNAS_VERIFY", cls.verify, _switch),
            grpc_host=variables.get("GNAS_GRPC_HOST", "") or cls.grpc_host,
            grpc_port=_read(variables, "GNAS_GRPC_PORT", cls.grpc_port, _whole(1, 65_535)),
            workers=_read(variables, "GNAS_WORKERS", cls.workers, _whole(1, 256)),
            max_in_flight=_read(variables, "GNAS_MAX_IN_FLIGHT", cls.max_in_flight, _whole(1, 100_000)),
            timeout_s=_read(variables, "GNAS_TIMEOUT_S", cls.timeout_s, _seconds),
            drain_s=_read(variables, "GNAS_DRAIN_S", cls.drain_s, _seconds),
            access_log=_read(variables, "GNAS_ACCESS_LOG", cls.access_log, _switch),
        )


def _read(variables: Mapping[str, str], name: str, default: _Value, parse: Callable[[str], _Value]) -> _Value:
    raw = variables.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, KeyError) as error:
        wanted = str(error) if isinstance(error, ValueError) else "true or false"
        raise ConfigError(
            f"{name}={raw!r}: expected {wanted}", hint=f"unset {name} for its default, {default}"
        ) from error


def _switch(raw: str) -> bool:
    return _SWITCHES[raw.lower()]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdecimal() or not low <= int(raw) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(raw)

    return parse


def _seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise ValueError("seconds, more than 0 and at most 3600")
    return value
