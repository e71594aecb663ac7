"""The gRPC door over a real artifact, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.access_log import AccessLog
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls
from gnas_serve.service.errors import CODE_KEY
from gnas_serve.service.grpc import GrpcDoor
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.tracing import Tracing
from gnas_serve.service.variants import Variants


class World:
    """One gRPC door, on an event loop in a thread of its own."""

    def __init__(
        self,
        artifact: Path,
        recommender: Any = None,
        feedback: Any = None,
        *,
        tracing: Tracing | None = None,
        **settings: Any,
    ) -> None:
        self.recommender = recommender or Recommender.load(artifact)
        self.registry = CollectorRegistry()
        chosen = replace(Settings(artifact, grpc_host="127.0.0.1", grpc_port=0), **settings)
        self.telemetry = telemetry = Telemetry(self.registry, access_log=AccessLog.of(chosen), tracing=tracing)
        self.calls = Calls(Variants.of(self.recommender), telemetry, feedback)
        self.door = GrpcDoor(self.calls, telemetry, chosen, Admission.of(chosen))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.target = f"127.0.0.1:{self.run(self.door.open())}"
        self.channel = grpc.insecure_channel(self.target)
        self.stub = RecommenderStub(self.channel)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def close(self) -> None:
        self.channel.close()
        self.run(self.door.close())
        self.telemetry.hand_on()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Held:
    """Keeps a loop from taking turns, as an answer that takes long does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_held, self._may_go_on = threading.Event(), threading.Event()
        loop.call_soon_threadsafe(self._hold)

    def _hold(self) -> None:
        self._is_held.set()
        self._may_go_on.wait(30)

    def __enter__(self) -> None:
        assert self._is_held.wait(10)

    def __exit__(self, *_error: object) -> None:
        self._may_go_on.set()


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Any = raised.value
    return error.code(), dict(error.trailing_metadata() or ()).get(CODE_KEY, ""), error.details()
