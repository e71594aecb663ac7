"""Ports: whether one is free, asked before anything starts."""

from __future__ import annotations

import ipaddress
import socket

from gnas_serve.errors import ConfigError, StorageError


def check_host(host: str) -> None:
    """Make sure that a host is an IP address, as BentoML wants it.

    Raises
    ------
    ConfigError
        If it is not.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError(
            f"host {host!r} is not an IP address", hint="use 127.0.0.1, or 0.0.0.0 to listen everywhere"
        ) from error


def check_port_free(host: str, port: int, *, door: str, option: str) -> None:
    """Make sure that nobody listens on a port.

    The gRPC door shares its port among workers (``SO_REUSEPORT``), so a second server would silently take half of
    the first one's calls. This asks without sharing.

    Parameters
    ----------
    host
        An IP address.
    port
        1 to 65535.
    door, option
        For the message: whose port it is and what sets it.

    Raises
    ------
    StorageError
        If the port is taken or may not be used.
    """
    check_host(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of a server that just stopped linger for a minute: they do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StorageError(
                f"the {door} port {port} on {host} cannot be used: {error.strerror}",
                hint=f"stop the program that listens there, or choose another port with {option}",
                code="port_taken",
            ) from error


def address(host: str, port: int) -> str:
    """Write host and port as one address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
