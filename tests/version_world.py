"""Workers in process that serve several versions, and what is done to the folders of these."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from front_world import behind
from prometheus_client import CollectorRegistry
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.service.admission import Admission
from gnas_serve.service.agreement import Agreement, Report
from gnas_serve.service.auth import digest_of, new_key
from gnas_serve.service.calls import Calls
from gnas_serve.service.deployment import STATE, Deployment, DeploymentFile
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.hot_path import HotPath
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.versions import Versions

KEY, ADMIN = new_key(), new_key()


def versions_folder(tmp_path: Path) -> Path:
    """Make three versions in a folder, and the files of the keys beside it."""
    found = tmp_path / "versions"
    found.mkdir()
    for seed in (0, 1, 2):
        write_tiny_artifact(found / f"v{seed}", seed=seed)
    (tmp_path / "keys").write_text(f"shop {digest_of(KEY)}\n")
    (tmp_path / "admins").write_text(f"ops {digest_of(ADMIN)}\n")
    return found


class Worker:
    """One worker's HTTP door, as the service puts it together."""

    def __init__(self, folder: Path, *, feedback: bool = False, **changes: Any) -> None:
        settings = Settings(
            folder / "v0",
            versions=folder,
            api_keys=folder.parent / "keys",
            admin_keys=folder.parent / "admins",
            feedback=folder.parent / "log" if feedback else None,
        )
        settings = replace(settings, **changes)
        self.registry = CollectorRegistry()
        self.telemetry = telemetry = Telemetry(self.registry)
        self.versions = Versions(DeploymentFile(folder), settings.artifact)
        self.feedback = Feedback(settings.feedback, self.versions.recommenders) if settings.feedback else None
        self.calls = Calls(self.versions.variants, telemetry, self.feedback, self.versions)
        self.front = HotPath(behind, settings, Admission.of(settings))
        self.front.open(self.calls, telemetry)

    async def ask(self, method: str, path: str, body: object = None, key: str = KEY) -> httpx.Response:
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(self.front)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            content = None if body is None else json.dumps(body)
            return await client.request(method, path, content=content, headers=headers)

    async def deploy(self, **change: Any) -> httpx.Response:
        return await self.ask("POST", "/v1/admin/deployment", change, ADMIN)

    async def version(self, user_id: int = 1007) -> str:
        reply = await self.ask("POST", "/v1/recommend", {"user_id": user_id, "k": 1})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["model"]["version"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        self.versions.open(self.calls.serve, self.feedback)
        try:
            yield self
        finally:
            await self.versions.close()
            if self.feedback is not None:
                await self.feedback.close()


def within(folder: Path, play: Callable[[Worker], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with Worker(folder, **options).running() as worker:
            await play(worker)

    asyncio.run(run())


def member(folder: Path, revision: int = 0) -> Agreement:
    """Be one more worker among those who are waited for."""
    found = Agreement(folder / STATE)
    found.join(revision)
    return found


async def written(folder: Path, revision: int) -> Deployment:
    """Wait until the file holds a revision or a later one."""
    async with asyncio.timeout(10):
        while (found := DeploymentFile(folder).read()).revision < revision:
            await asyncio.sleep(0.01)
    return found


async def refuse(worker: Agreement, folder: Path, revision: int) -> None:
    """Say for a worker that it cannot serve a revision once that is written; then go back as all do."""
    await written(folder, revision)
    worker.report(Report(revision - 1, revision, "no room for it"))
    await written(folder, revision + 1)
    worker.report(Report(revision + 1))


def point(link: Path, target: Path) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(target)
    fresh.rename(link)


def damage(artifact: Path) -> None:
    path = artifact / LAYOUT.item_vectors
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
