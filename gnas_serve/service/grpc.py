"""The gRPC door's server: opened with health and reflection beside the calls, opened again where it ends, drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from time import perf_counter
from typing import Any

from grpc import aio
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from gnas_serve.errors import GnasError, StorageError
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls
from gnas_serve.service.grpc_calls import SERVICE, GrpcCalls
from gnas_serve.service.grpc_lanes import Lanes
from gnas_serve.service.grpc_threads import stepping_back
from gnas_serve.service.ports import address
from gnas_serve.service.settings import Settings
from gnas_serve.service.streams import MAX_STREAMS, BoundedHealth, BoundedReflection, Streams
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.tls import server_credentials

_LEAST_PENDING = 512
_AGAIN_S = 0.5

_log = logging.getLogger(__name__)


class GrpcDoor:
    """The gRPC server of one worker.

    Parameters
    ----------
    calls
        What it answers with.
    telemetry
        Counts requests.
    settings
        Host, port, limits and TLS.
    admission
        Who may call, and how often.
    """

    def __init__(self, calls: Calls, telemetry: Telemetry, settings: Settings, admission: Admission) -> None:
        self._settings = settings
        self._streams = Streams()
        self._health = BoundedHealth(self._streams)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        beside = self._health.handlers() | BoundedReflection(names, self._streams).handlers()
        own = GrpcCalls(calls, telemetry, settings, admission)
        self._lanes = Lanes(
            own.handlers(),
            beside,
            # Calls beyond their own number are refused by the handler. These bound what comes before it, and streams of
            # health and reflection, which last long, so that others who ask for health are still answered.
            most=2 * settings.max_in_flight,
            most_beside=2 * MAX_STREAMS,
            message_s=settings.timeout_s,
            count=own.refused,
        )
        self._drain_began: float | None = None
        self._server: aio.Server | None = None
        self._port = settings.grpc_port
        self._replacing: asyncio.Future[None] | None = None

    async def open(self) -> int:
        """Listen, and report health as serving.

        Returns
        -------
        int
            The port; another than the settings' one only where they say 0.

        Raises
        ------
        StorageError
            If the port cannot be used.
        ConfigError
            If a certificate or key cannot be.
        """
        server, self._port = self._bound()
        await self._start(server)
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self._port

    def _bound(self) -> tuple[aio.Server, int]:
        # Of callers who come faster than they are answered grpcio shows us one at a time: the others wait in its own
        # queue. Beyond this many it ends a call itself, as cancelled; it offers no other code, and a refusal of ours
        # costs so much of an answer that at twice the load nothing would be left for answers.
        pending = max(2 * self._settings.max_in_flight, _LEAST_PENDING)
        options = [
            # Each worker has a socket of its own on the one port; the kernel spreads the connections.
            ("grpc.so_reuseport", 1),
            ("grpc.server.max_pending_requests", pending),
            ("grpc.server.max_pending_requests_hard_limit", pending),
            ("grpc.max_receive_message_length", self._settings.max_body_bytes),
            # Connections live long in gRPC: without an age, a new worker would never get any.
            ("grpc.max_connection_age_ms", 300_000),
            ("grpc.max_connection_age_grace_ms", 10_000),
        ]
        with stepping_back():
            server = self._lanes.server(options)
        listen = address(self._settings.grpc_host, self._port)
        try:
            credentials = server_credentials(self._settings)
            port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
        except RuntimeError as error:
            raise StorageError(
                f"the gRPC door cannot listen on {listen}", hint="choose another GNAS_GRPC_PORT", code="port_taken"
            ) from error
        return server, port

    async def _start(self, server: aio.Server) -> None:
        self._server = server
        before = asyncio.all_tasks()
        await server.start()
        for task in asyncio.all_tasks() - before:
            task.add_done_callback(lambda done: self._attend(server, done))
        self._lanes.open(server)

    def _attend(self, server: aio.Server, done: asyncio.Task[Any]) -> None:
        # grpcio takes calls in a task of its own where there are no lanes, and that ends for good at a call whose path
        # is no UTF-8: anybody could close the door for all. Another server takes its place at once; what is in flight
        # finishes in the old.
        if server is self._server and not done.cancelled() and done.exception() is not None:
            _log.error("the gRPC door ended, and is opened again", exc_info=done.exception())
            self._replacing = asyncio.ensure_future(self._replace(server, self._bound_again()))

    def _bound_again(self) -> aio.Server | None:
        # Before the old one is closed, which happens next: no caller finds nobody there.
        try:
            return self._bound()[0]
        except GnasError as error:
            _log.error("the gRPC door cannot be opened again yet", exc_info=error)
            return None

    async def _replace(self, ended: aio.Server, server: aio.Server | None) -> None:
        while server is None:
            await asyncio.sleep(_AGAIN_S)
            server = self._bound_again()
        await self._start(server)
        await _stopped(ended, self._settings.timeout_s)

    async def drain(self) -> None:
        """Report health as not serving, for good; calls are still answered."""
        if self._drain_began is None:
            self._drain_began = perf_counter()
        await self._health.enter_graceful_shutdown()

    async def close(self) -> None:
        """Refuse new calls, let those in flight finish within what is left of the time to drain, stop."""
        await self.drain()
        server, self._server = self._server, None
        if server is not None:
            spent_s = perf_counter() - (self._drain_began or 0.0)
            self._streams.end()
            await _stopped(server, max(0.0, self._settings.drain_s - spent_s))
        if self._replacing is not None:
            self._replacing.cancel()


async def _stopped(server: aio.Server, grace_s: float) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # at a path that is none, see above: the stop ends with that task
        await server.stop(grace_s)
    await server.stop(grace_s)  # and has to be gone on with; of one that is stopped it does nothing
