"""What an operator may set, from environment variables and a file, read once and checked at the start."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnas_serve.errors import ConfigError, unknown_name
from gnas_serve.runtime.providers import CPU, PROVIDERS
from gnas_serve.service.logs import LOG_FORMATS, TEXT
from gnas_serve.service.setting_values import one_of, path, rate, seconds, switch, tracing, whole

# The layout of a Bento's `src` folder and of a checkout alike: build/artifact beside the package.
DEFAULT_ARTIFACT = Path(__file__).resolve().parents[2] / "build" / "artifact"
MAX_BODY_BYTES = 1 << 20
SETTINGS_FILE = "GNAS_SETTINGS"
_OF_KUBERNETES = "GNAS_SERVE_"  # where a Service is called gnas-serve
_ALIKE = 0.83
_PREFIX = "GNAS_"
_MOST_SETTINGS_BYTES = 1 << 16


@dataclass(frozen=True)
class Settings:
    """How one server runs.

    Every setting is a variable of the environment, or a key of the TOML file that ``GNAS_SETTINGS`` names: there
    without ``GNAS_`` and in small letters, ``max_in_flight = 64``. The environment has the last word, but for what a
    flag of `gnas-serve serve` says; the artifact is always the one that the command is given.

    Attributes
    ----------
    artifact
        ``GNAS_ARTIFACT``: folder of the artifact, or a link to it, looked at again at each SIGHUP; ``build/artifact``
        beside the package when not set.
    verify
        ``GNAS_VERIFY``: hash every file of the artifact at start; true when not set.
    grpc_host, grpc_port
        ``GNAS_GRPC_HOST``, ``GNAS_GRPC_PORT``: where the gRPC door listens; 0.0.0.0 and 3001 when not set
        (`gnas-serve serve`: the ``--host`` of the HTTP door). The HTTP door's are flags of that command, and elsewhere
        BentoML's own, ``BENTOML_HOST`` and ``BENTOML_PORT``.
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
    log_format
        ``GNAS_LOG_FORMAT``: ``text``, BentoML's lines, or ``json``, an object per line on stderr; text when not set.
    log_key
        ``GNAS_LOG_KEY``: file with a secret, by which the access log in JSON names users, equally in all workers and
        after a restart. When not set, each worker draws one at its start.
    tracing
        ``GNAS_TRACING``: OpenTelemetry spans by OTLP: ``off``; ``parent``, of requests whose ``traceparent`` says so;
        ``on``, of those and all without one; or a share of the latter, ``0.01``. Off when not set.
    provider
        ``GNAS_PROVIDER``: what the ranker computes on, ``cpu`` or ``cuda``; cpu when not set. A server that is to use
        CUDA and cannot does not start.
    feedback
        ``GNAS_FEEDBACK``: folder of the feedback log, one for all workers; without it no feedback is taken.
    max_body_bytes
        ``GNAS_MAX_BODY_BYTES``: largest request at either door; 1 MB when not set.
    api_keys
        ``GNAS_API_KEYS``: file with a line per caller, its name and the SHA-256 of its key, as
        `gnas-serve api-key NAME --append FILE` adds it.
    jwt_key, jwt_issuer, jwt_audience
        ``GNAS_JWT_KEY``: file with the public key, in PEM, of whoever signs the JSON Web Tokens that are accepted, or
        with a shared secret; ``GNAS_JWT_ISSUER`` and ``GNAS_JWT_AUDIENCE``: what they have to say. Where neither keys
        nor tokens are set, anybody may call.
    versions
        ``GNAS_VERSIONS``: folder with artifacts, of which several are served, switched and rolled back while the server
        runs; ``GNAS_ARTIFACT`` is in it, and where the first start begins. Without it one artifact is served.
    admin_keys
        ``GNAS_ADMIN_KEYS``: as ``GNAS_API_KEYS``, of those who may change what is served.
    rate_per_s, rate_burst
        ``GNAS_RATE_PER_S``: how many requests per second a caller may make of one worker; without keys and tokens
        callers are told apart by their address. No limit when not set. ``GNAS_RATE_BURST``: how many may come at once
        after a pause; 100 when not set.
    grpc_tls_cert, grpc_tls_key, grpc_tls_client_ca
        ``GNAS_GRPC_TLS_CERT``, ``GNAS_GRPC_TLS_KEY``: files in PEM, with which the gRPC door speaks TLS;
        ``GNAS_GRPC_TLS_CLIENT_CA``: callers have to show a certificate of this authority. (The HTTP door's TLS is
        BentoML's own, or that of a proxy in front.)
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
    log_format: str = TEXT
    log_key: Path | None = None
    tracing: float | None = None
    provider: str = CPU
    feedback: Path | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    api_keys: Path | None = None
    jwt_key: Path | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    versions: Path | None = None
    admin_keys: Path | None = None
    rate_per_s: float = 0.0
    rate_burst: int = 100
    grpc_tls_cert: Path | None = None
    grpc_tls_key: Path | None = None
    grpc_tls_client_ca: Path | None = None

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
            Naming the variable or the key of the file, or both places where an artifact was looked for.
        """
        values: dict[str, Any] = {name: one.value for name, one in stated(environment).items()}
        given = values.get("artifact")
        values["artifact"] = artifact = DEFAULT_ARTIFACT if given is None else given
        if not (artifact / "manifest.json").is_file():
            tried = "GNAS_ARTIFACT is not set" if given is None else f"GNAS_ARTIFACT={given} is not the folder of one"
            default = (
                f"{DEFAULT_ARTIFACT} is not one"
                if given is None
                else f"{DEFAULT_ARTIFACT} is looked at only without it"
            )
            raise ConfigError(
                f"no artifact to serve: {tried}, and {default}",
                hint="set GNAS_ARTIFACT to the folder that `gnas-serve export` wrote, or run `make quickstart`",
                code="no_artifact",
            )
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Check what settings say together.

        Raises
        ------
        ConfigError
            If one is set that does nothing without another.
        """
        pairs = (
            ("admin_keys", self.admin_keys, "versions", self.versions),
            ("jwt_issuer", self.jwt_issuer, "jwt_key", self.jwt_key),
            ("log_key", self.log_key, "access_log", self.access_log or None),
            ("jwt_audience", self.jwt_audience, "jwt_key", self.jwt_key),
            ("grpc_tls_cert", self.grpc_tls_cert, "grpc_tls_key", self.grpc_tls_key),
            ("grpc_tls_key", self.grpc_tls_key, "grpc_tls_cert", self.grpc_tls_cert),
            ("grpc_tls_client_ca", self.grpc_tls_client_ca, "grpc_tls_cert", self.grpc_tls_cert),
        )
        for name, value, other, needed in pairs:
            if value is not None and needed is None:
                raise ConfigError(
                    f"{_PREFIX}{name.upper()} is set, {_PREFIX}{other.upper()} is not", hint="set both or neither"
                )


@dataclass(frozen=True)
class Stated:
    """A setting that somebody made.

    Attributes
    ----------
    where
        The variable, or the file with its key.
    value
        As read, of the setting's type.
    """

    where: str
    value: Any


def stated(environment: Mapping[str, str] | None = None) -> dict[str, Stated]:
    """Read the settings that were made, without those that are left to their defaults.

    Parameters
    ----------
    environment
        ``os.environ`` when not given.

    Raises
    ------
    ConfigError
        Naming the variable or the key of the file.
    """
    variables = os.environ if environment is None else environment
    raw = {**_of_file(variables), **_of_environment(variables)}
    return {
        name: Stated(where, _read(where, text, getattr(Settings, name, None), _PARSERS[name]))
        for name, (where, text) in raw.items()
    }


def _of_environment(variables: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    _check_names(variables)
    found = {}
    for name in _PARSERS:
        variable = f"{_PREFIX}{name.upper()}"
        if text := variables.get(variable, "").strip():
            found[name] = (variable, text)
    return found


def _check_names(variables: Mapping[str, str]) -> None:
    """Refuse a variable that is nearly one of ours; others may be somebody else's, as those of Kubernetes are."""
    known = [SETTINGS_FILE, *(f"{_PREFIX}{name.upper()}" for name in _PARSERS)]
    for variable in sorted(variables):
        if not variable.startswith(_PREFIX) or variable in known or variable.startswith(_OF_KUBERNETES):
            continue
        if nearest := difflib.get_close_matches(variable, known, n=1, cutoff=_ALIKE):
            raise ConfigError(
                f"{variable} is no setting", hint=f"did you mean {nearest[0]}? else unset it", code="unknown_setting"
            )


def _of_file(variables: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Read the settings of the file, each as the text that a variable would hold."""
    name = variables.get(SETTINGS_FILE, "").strip()
    if not name:
        return {}
    place = Path(name).expanduser()
    try:
        with place.open("rb") as file:
            raw = file.read(_MOST_SETTINGS_BYTES)
        content = tomllib.loads(raw.decode())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{SETTINGS_FILE}={name}: {error}", hint="give a TOML file of settings") from error
    for key in content:
        if key not in _PARSERS:
            raise unknown_name(f"setting of {place}", key, _PARSERS)
    return {key: (f"{place}: {key}", _text(key, value, place.parent)) for key, value in content.items()}


def _text(key: str, value: object, folder: Path) -> str:
    """Give a value of the file as a variable would hold it; places are looked up from where the file lies."""
    if _PARSERS[key] is path and value:
        return str(folder.absolute() / Path(str(value)).expanduser())
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_absolute_paths(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the same variables with places as they are from here, for a process that works in another folder."""
    places = [SETTINGS_FILE, *(f"{_PREFIX}{name.upper()}" for name, parse in _PARSERS.items() if parse is path)]
    found = {name: text for name in places if (text := variables.get(name, "").strip())}
    return {**variables, **{name: str(path(text)) for name, text in found.items()}}


def _read(where: str, raw: str, default: object, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(raw)
    except ValueError as error:
        raise ConfigError(f"{where}={raw!r}: expected {error}", hint=f"unset it for its default, {default}") from error


_PARSERS: dict[str, Callable[[str], Any]] = {
    "access_log": switch,
    "admin_keys": path,
    "api_keys": path,
    "artifact": path,
    "drain_s": seconds,
    "feedback": path,
    "grpc_host": str,
    "grpc_port": whole(1, 65_535),
    "grpc_tls_cert": path,
    "grpc_tls_client_ca": path,
    "grpc_tls_key": path,
    "jwt_audience": str,
    "jwt_issuer": str,
    "jwt_key": path,
    "log_format": one_of(LOG_FORMATS),
    "log_key": path,
    "max_body_bytes": whole(1024, 64 << 20),
    "max_in_flight": whole(1, 100_000),
    "provider": one_of(PROVIDERS),
    "rate_burst": whole(1, 1_000_000),
    "rate_per_s": rate,
    "timeout_s": seconds,
    "tracing": tracing,
    "verify": switch,
    "versions": path,
    "workers": whole(1, 256),
}
