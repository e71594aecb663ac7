"""Changes of what is served take their time: the callers may leave, and requests have less of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from version_world import Worker, member, refuse, versions_folder, within, written

from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service import agreement as agreement_module
from gnas_serve.service import routes as routes_module
from gnas_serve.service.agreement import Agreement, Report
from gnas_serve.service.deployment import Deployment, DeploymentFile

_SHORT_S = 0.05


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return versions_folder(tmp_path)


@pytest.fixture
def other(folder: Path) -> Iterator[Agreement]:
    """Give another worker, who says what the test has it say."""
    DeploymentFile(folder).open(folder / "v0")
    found = member(folder)
    yield found
    found.leave()


class SlowLoads:
    """Loads that wait until they may go on, and their names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        load = Recommender.load

        def slow(path: Path, **options: Any) -> Recommender:
            self.names.append(path.name)
            self.begun.set()
            assert self.may_go_on.wait(10)
            return load(path, **options)

        monkeypatch.setattr(Recommender, "load", slow)


async def until_served(worker: Worker, version: str) -> None:
    async with asyncio.timeout(10):
        while await worker.version() != version:
            await asyncio.sleep(0.01)


def test_a_change_may_take_longer_than_a_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(worker: Worker) -> None:
        loads = SlowLoads(monkeypatch)
        deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
        assert await asyncio.to_thread(loads.begun.wait, 10)
        # A request would have been cut off by now.
        done, _ = await asyncio.wait({deploying}, timeout=5 * _SHORT_S)
        assert not done
        loads.may_go_on.set()
        assert (await deploying).status_code == 200
        assert await worker.version() == "test-1"

    within(folder, play, timeout_s=_SHORT_S)


def test_workers_that_do_not_follow_are_told_of(
    folder: Path, other: Agreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement_module, "PATIENCE_S", 5 * _SHORT_S)

    async def play(worker: Worker) -> None:
        reply = await worker.deploy(stable="v1")
        assert (reply.status_code, reply.json()["code"]) == (503, "not_followed")
        assert "1 of 2 workers" in reply.json()["detail"]
        assert await worker.version() == "test-1"
        assert other.reports()

    within(folder, play, timeout_s=_SHORT_S)


def test_who_does_not_wait_for_a_slow_change_does_not_end_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the follower, who sees what it wrote, does not load it a second time."""
    path = "/v1/admin/deployment"
    short = tuple(replace(route, limit_s=0.0) for route in routes_module._FIXED[path])
    monkeypatch.setitem(routes_module._FIXED, path, short)

    async def play(worker: Worker) -> None:
        loads = SlowLoads(monkeypatch)
        reply = await worker.deploy(stable="v1")
        assert (reply.status_code, reply.json()["code"]) == (504, "deadline_exceeded")
        assert "the change goes on" in reply.json()["detail"]
        loads.may_go_on.set()
        await until_served(worker, "test-1")
        # A change takes turns with the follower: once it is over, the follower has had one before it.
        assert (await worker.versions.change(lambda before: before.switched("v0"))).revision == 2
        assert loads.names == ["v1", "v0"]

    within(folder, play, timeout_s=_SHORT_S)


def test_who_leaves_while_others_are_waited_for_does_not_keep_all_from_going_back(
    folder: Path, other: Agreement
) -> None:
    async def play(worker: Worker) -> None:
        changing = asyncio.ensure_future(worker.versions.change(lambda before: before.switched("v1")))
        await written(folder, 1)
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
        other.report(Report(0, 1, "no room for it"))
        assert await written(folder, 2) == Deployment("v0", revision=2)

    within(folder, play)


def test_what_became_of_a_change_that_nobody_waits_for_is_in_the_log(
    folder: Path, other: Agreement, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(worker: Worker) -> None:
        changing = asyncio.ensure_future(worker.versions.change(lambda before: before.switched("v1")))
        await written(folder, 1)
        changing.cancel()
        await refuse(other, folder, 1)
        async with asyncio.timeout(10):
            while "no room for it" not in caplog.text:
                await asyncio.sleep(0.01)

    within(folder, play)


def test_a_worker_that_ends_does_not_wait_for_others_who_are_behind(folder: Path, other: Agreement) -> None:
    async def run() -> None:
        async with Worker(folder).running() as worker:
            deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
            await written(folder, 1)
        async with asyncio.timeout(10):
            reply = await deploying
        assert (reply.status_code, reply.json()["code"]) == (503, "not_followed")
        assert other.reports() == [Report(0)]

    asyncio.run(run())


def test_a_worker_that_ends_lets_a_load_come_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its own or one that follows: nothing is told to a feedback log that is closed by then."""

    async def run() -> None:
        worker = Worker(folder, feedback=True)
        async with worker.running():
            loads = SlowLoads(monkeypatch)
            DeploymentFile(folder).change(lambda before: replace(before, shadow="v1"), lambda _after: None)
            assert await asyncio.to_thread(loads.begun.wait, 10)
            threading.Timer(2 * _SHORT_S, loads.may_go_on.set).start()
        assert loads.may_go_on.is_set()

    asyncio.run(run())
