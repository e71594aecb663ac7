"""Which server is meant by an address on the command line."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gnas_serve.errors import ConfigError
from gnas_serve.load.grpc_door import GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.lane import Door
from gnas_serve.load.meter import MetricsMeter
from gnas_serve.plain_text import plain_text
from gnas_serve.service.ports import address

_PORTS = {"http": 80, "grpc": 3001}
_PATH = "/v1/recommend"
_SHOWN = 100
_BARE = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}(?:/[!-~]{0,200})?")


def is_address(target: str) -> bool:
    """Tell an address from the path of an artifact."""
    return "://" in target


def refuse_bare(target: str, protocol: str | None) -> None:
    """Refuse what looks like the address of a server without its protocol, where no artifact is called so.

    Raises
    ------
    ConfigError
        With the address as it is to be written.
    """
    if _BARE.fullmatch(target) and not Path(target).exists():
        raise ConfigError(
            f"{target!r} is no artifact's folder", hint=f"for a server there, write {protocol or 'http'}://{target}"
        )


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes
    ----------
    protocol
        ``"http"`` or ``"grpc"``.
    host, port
        Of that protocol's door.
    prefix
        What stands before the paths of the HTTP door; empty, or ``/...``.
    """

    protocol: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def read(cls, text: str, protocol: str | None) -> Address:
        """Read ``http://HOST:PORT`` or ``grpc://HOST:PORT``.

        Parameters
        ----------
        protocol
            What was asked for; ``"grpc"`` takes an ``http://`` address for that of the gRPC door. None for the address'
            own.

        Raises
        ------
        ConfigError
            If it is no such address, or one of the other protocol.
        """
        shown = plain_text(text[:_SHOWN])
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{shown!r} is no address", hint="write http://HOST:PORT or grpc://HOST:PORT") from error
        if parts.scheme not in _PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment or port == 0:
            raise ConfigError(
                f"{shown!r} is no address that can be asked", hint="write http://HOST:PORT or grpc://HOST:PORT"
            )
        chosen = protocol or parts.scheme
        if chosen == "http" and parts.scheme == "grpc":
            raise ConfigError(
                f"--protocol http, and {shown!r}", hint="give the address of the HTTP door: http://HOST:PORT"
            )
        prefix = parts.path.rstrip("/")
        if any(not "!" <= letter <= "~" for letter in host + prefix):
            raise ConfigError(f"{shown!r} has letters that no address has", hint="write them as RFC 3986 does")
        return cls(chosen, host, port or _PORTS[parts.scheme], prefix)

    def require_loopback(self) -> None:
        """Make sure that it is this machine that is asked.

        Raises
        ------
        ConfigError
            If it is another one, or may be.
        """
        try:
            is_own = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            is_own = self.host == "localhost"
        if not is_own:
            raise ConfigError(
                f"{plain_text(self.host)[:_SHOWN]} is not this machine: a load may keep others from being answered,"
                " and the way there is measured too",
                hint="with leave of those who run it, give --anywhere",
                code="not_loopback",
            )

    def door(self, credential: str | None = None) -> Door:
        """Give what asks there."""
        if self.protocol == "grpc":
            return GrpcDoor(self.host, self.port, credential=credential)
        return HttpDoor(self.host, self.port, self.prefix + _PATH, credential=credential)

    def meter(self) -> MetricsMeter | None:
        """Give what tells of the server's cost there; None where it does not tell."""
        if self.protocol != "http":
            return None
        meter = MetricsMeter(f"http://{address(self.host, self.port)}{self.prefix}/metrics")
        return meter if meter.read() is not None else None
