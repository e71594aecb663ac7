"""Running the server as a child process: started, watched until ready, stopped by draining."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import gnas_serve
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError, GnasError
from gnas_serve.service.bundle import SERVICE, artifact_of, find_bento
from gnas_serve.service.child import tied
from gnas_serve.service.hangup import held
from gnas_serve.service.ports import address, check_host, check_port_free
from gnas_serve.service.settings import Settings, with_absolute_paths
from gnas_serve.service.start_checks import check_start

READY_LIMIT_S = 120.0
_POLL_S = 0.1
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # asked on loopback, never bound here


@dataclass(frozen=True)
class Target:
    """What is served: an artifact by this installation's code, or a Bento by its own.

    Attributes
    ----------
    argument, folder
        For ``bentoml serve ARGUMENT --working-dir FOLDER``.
    artifact
        The artifact's folder.
    """

    argument: str
    folder: Path
    artifact: Path
    manifest: Manifest


def find_target(name: str, *, verify: bool = True) -> Target:
    """Find what a name on the command line means, and verify it.

    Parameters
    ----------
    name
        An artifact's folder, or the tag of a Bento.
    verify
        Hash every file of it.

    Raises
    ------
    ConfigError
        If it is neither.
    IntegrityError, FormatVersionError
        If the artifact is damaged or of a newer format.
    """
    folder = Path(os.path.expanduser(name))  # noqa: PTH111  # Path's raises where a name has no such user
    if os.path.exists(folder):  # noqa: PTH110  # Path's raises where a name is too long
        manifest = Manifest.read(folder, verify=verify)
        return Target(SERVICE, Path(gnas_serve.__file__).parents[1], folder.absolute(), manifest)
    bento = find_bento(name) if "/" not in name and not name.startswith(".") else None
    if bento is None:
        raise ConfigError(
            f"{name!r} is neither the folder of an artifact nor the tag of a Bento",
            hint="give what `gnas-serve export` wrote or what `gnas-serve build` printed",
            code="not_found",
        )
    artifact = artifact_of(bento.path)
    return Target(str(bento.path), bento.path, artifact, Manifest.read(artifact, verify=verify))


@dataclass(frozen=True)
class Doors:
    """Where a server listens, and with how many processes.

    Attributes
    ----------
    host, http_port, grpc_port
        Of the HTTP door, and the port of the gRPC door.
    workers
        Processes that share both ports.
    grpc_host
        Of the gRPC door; ``host`` when None.
    """

    host: str = "127.0.0.1"
    http_port: int = 3000
    grpc_port: int = 3001
    workers: int = 1
    grpc_host: str | None = None

    def check(self) -> None:
        """Make sure that both ports can be used.

        Raises
        ------
        ConfigError
            If the host is no IP address or the ports are one.
        StorageError
            If a port is taken.
        """
        check_host(self.host)
        if self.http_port == self.grpc_port:
            raise ConfigError(f"both doors on port {self.http_port}", hint="give two different ports")
        check_port_free(self.host, self.http_port, door="HTTP", option="--http-port")
        check_port_free(self.grpc_ip, self.grpc_port, door="gRPC", option="--grpc-port")

    @property
    def grpc_ip(self) -> str:
        """What the gRPC door listens on."""
        return self.host if self.grpc_host is None else self.grpc_host

    @property
    def url(self) -> str:
        """Where the HTTP door is reached from this machine."""
        return f"http://{address(_EVERYWHERE.get(self.host, self.host), self.http_port)}"

    @property
    def grpc_target(self) -> str:
        """Where the gRPC door is reached from this machine."""
        return address(_EVERYWHERE.get(self.grpc_ip, self.grpc_ip), self.grpc_port)


class Server:
    """One server in a child process; a context manager that drains it at the end.

    Parameters
    ----------
    target
        What to serve.
    doors
        Where to listen; checked by :meth:`start`.

    Attributes
    ----------
    settings
        What the server runs with, once :meth:`start` has read them.
    """

    settings: Settings

    def __init__(self, target: Target, doors: Doors) -> None:
        self.target = target
        self.doors = doors
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = False
        # Servers of one BentoML home empty each other's metrics folder at start: each has a home of its own.
        self._home = tempfile.TemporaryDirectory(prefix="gnas-serve-home-")

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._process is not None:
            self._process.wait()
        self._home.cleanup()

    def start(self) -> None:
        """Start the server; its log goes to stderr.

        Raises
        ------
        ConfigError, StorageError
            As :meth:`Doors.check`, and if a ``GNAS_...`` variable is wrong.
        MissingExtraError, ProviderError, IntegrityError, FormatVersionError
            As :func:`gnas_serve.service.start_checks.check_start`.
        """
        self.doors.check()
        environment = self._environment()
        self.settings = Settings.from_environment(environment)
        check_start(self.settings)
        command = [sys.executable, "-m", "bentoml", "serve", self.target.argument]
        command += ["--working-dir", str(self.target.folder)]
        command += ["--host", self.doors.host, "--port", str(self.doors.http_port)]
        with held():  # from its birth on: told to read again while it starts, it would end
            self._process = subprocess.Popen(
                tied(command),
                env=environment,
                # Not the caller's folder: a module of that name there would stand before the real one.
                cwd=self.target.folder,
                stdout=sys.stderr,
                # A group of its own: Ctrl-C reaches it once, through us, and not every worker at the same time.
                start_new_session=True,
            )

    def wait_until_ready(self, limit_s: float = READY_LIMIT_S) -> bool:
        """Wait until both doors answer.

        Returns
        -------
        bool
            False where the server was asked to stop before that.

        Raises
        ------
        GnasError
            If it ended, or was not ready in time.
        """
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self._is_stopping:
                # The wish may have come before there was a process to tell.
                self.stop()
                return False
            if self._running().poll() is not None:
                self.wait()
            try:
                with urllib.request.urlopen(f"{self.doors.url}/readyz", timeout=1.0):  # noqa: S310  # our own address
                    return True
            except (urllib.error.URLError, OSError):
                time.sleep(_POLL_S)
        raise GnasError(
            f"the server was not ready after {limit_s:.0f} s", hint="its log above says why", code="server_not_ready"
        )

    @property
    def pid(self) -> int:
        """The number of the first of its processes."""
        return self._running().pid

    def stop(self) -> None:
        """Ask the server to drain and end; does not wait."""
        self._is_stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def renew(self) -> None:
        """Have the workers read again what they serve; does not wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def wait(self) -> None:
        """Wait for the end of the server.

        Raises
        ------
        GnasError
            If it ended without being asked to.
        """
        status = self._running().wait()
        if not self._is_stopping:
            raise GnasError(
                f"the server ended by itself with status {status}", hint="its log above says why", code="server_ended"
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ValueError("the server was not started")
        return self._process

    def _environment(self) -> dict[str, str]:
        return {
            **with_absolute_paths(os.environ),  # the workers work in another folder
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": self._home.name,
            "GNAS_ARTIFACT": str(self.target.artifact),
            "GNAS_GRPC_HOST": self.doors.grpc_ip,
            "GNAS_GRPC_PORT": str(self.doors.grpc_port),
            # Where every file is to be hashed, find_target did that a moment ago.
            "GNAS_VERIFY": "false",
            "GNAS_WORKERS": str(self.doors.workers),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
