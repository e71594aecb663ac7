"""An artifact's own server, started to be measured."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gnas_serve.errors import GnasError
from gnas_serve.load.address import Address
from gnas_serve.load.cores import held_to, two_cores
from gnas_serve.load.lane import Door
from gnas_serve.load.meter import ProcessMeter
from gnas_serve.service.launch import Doors, Server, find_target


@dataclass(frozen=True)
class ServedArtifact:
    """A server that is ready.

    Attributes
    ----------
    door
        What asks it.
    meter
        None where this system does not tell of its processes.
    cores
        Of server and client; None where they are not held to any.
    """

    door: Door
    meter: ProcessMeter | None
    cores: tuple[int, int] | None


@contextmanager
def served(artifact: Path, protocol: str, *, credential: str | None = None) -> Iterator[ServedArtifact]:
    """Serve an artifact on free ports of this machine, the server on one core and this process on another.

    Parameters
    ----------
    artifact
        Its folder.
    protocol
        Which door is to be asked, ``"http"`` or ``"grpc"``.
    credential
        Where the settings of the server, which are those of this process, let not everybody ask.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError, StorageError
        As of :func:`gnas_serve.service.launch.find_target` and :class:`~gnas_serve.service.launch.Server`.
    GnasError
        If it does not become ready.
    """
    cores = two_cores()
    http_port, grpc_port = _free_ports()
    doors = Doors("127.0.0.1", http_port, grpc_port)
    server = Server(find_target(str(artifact)), doors)
    with ExitStack() as stack:
        with held_to(None if cores is None else cores[0]):
            stack.enter_context(server)
        if not server.wait_until_ready():
            raise GnasError("the server was stopped before it was ready", code="server_ended")
        stack.enter_context(held_to(None if cores is None else cores[1]))
        port = grpc_port if protocol == "grpc" else http_port
        door = Address(protocol, "127.0.0.1", port).door(credential)
        yield ServedArtifact(door, ProcessMeter.of(server.pid), cores)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
