"""The HTTP front over a real artifact, asked in process, and connections played message by message."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.access_log import AccessLog
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.hot_path import HotPath
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.tracing import Tracing
from gnas_serve.service.variants import Variants

JSON = {"content-type": "application/json"}


async def behind(scope: Any, _receive: Any, send: Any) -> None:
    """Stand for BentoML's application: says that it was reached."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"behind " + scope["path"].encode()})


def feedback_of(settings: Settings, recommender: Recommender) -> Feedback:
    """Open the feedback log that the settings name."""
    assert settings.feedback is not None
    return Feedback(settings.feedback, [recommender])


class World:
    """One front over one artifact."""

    def __init__(
        self, artifact: Path, recommender: Any = None, *, tracing: Tracing | None = None, **settings: Any
    ) -> None:
        self.recommender = recommender or Recommender.load(artifact)
        self.registry = CollectorRegistry()
        chosen = replace(Settings(artifact), **settings)
        self.front = HotPath(behind, chosen, Admission.of(chosen))
        self.telemetry = telemetry = Telemetry(self.registry, access_log=AccessLog.of(chosen), tracing=tracing)
        self.feedback = None if chosen.feedback is None else feedback_of(chosen, self.recommender)
        self.calls = Calls(Variants.of(self.recommender), telemetry, self.feedback)
        self.front.open(self.calls, telemetry)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.front), base_url="http://door")

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(once())

    def post(self, path: str, body: object) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, content=content, headers=JSON)

    def metric(self, name: str, **labels: str) -> float | None:
        self.telemetry.hand_on()
        return self.registry.get_sample_value(name, labels)


def connection(*messages: dict[str, Any], then: float = 0.0) -> Any:
    """Play a connection: the messages, then silence for a time, then the caller is gone."""
    queue = list(messages)
    taken: list[int] = []

    async def receive() -> dict[str, Any]:
        if queue:
            message = queue.pop(0)
            taken.append(len(message.get("body", b"")))
            return message
        await asyncio.sleep(then)
        return {"type": "http.disconnect"}

    receive.taken = taken  # type: ignore[attr-defined]
    return receive


def play(front: HotPath, receive: Any, headers: list[tuple[bytes, bytes]] | None = None) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": headers or []}
    asyncio.run(front(scope, receive, send))  # type: ignore[arg-type]
    return sent


class BrokenRecommender:
    """A model with a bug."""

    def __init__(self, artifact: Path) -> None:
        self.info = Recommender.load(artifact).info

    def recommend_staged(self, _query: Query) -> None:
        raise ZeroDivisionError("secret of /etc/passwd")
