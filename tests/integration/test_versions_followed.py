"""The follower of versions: what other processes write, what one hears of twice, and errors of whatever kind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from version_world import Worker, damage, versions_folder, within

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service import agreement as agreement_module
from gnas_serve.service import retries as retries_module
from gnas_serve.service import versions as versions_module
from gnas_serve.service.agreement import Report
from gnas_serve.service.deployment import STATE, Deployment, DeploymentFile
from gnas_serve.service.retries import Retries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return versions_folder(tmp_path)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "_POLL_S", 0.02)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the names of the artifacts that are loaded, as they are."""
    names: list[str] = []
    load = Recommender.load

    def counted(path: Path, **options: Any) -> Recommender:
        names.append(path.name)
        return load(path, **options)

    monkeypatch.setattr(Recommender, "load", counted)
    return names


def switch(folder: Path, artifact: str) -> Deployment:
    """Switch as another process does: in the file alone."""
    return DeploymentFile(folder).change(lambda before: before.switched(artifact), lambda _after: None)


async def until_served(worker: Worker, version: str) -> None:
    async with asyncio.timeout(10):
        while await worker.version() != version:
            await asyncio.sleep(0.02)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.02)


def refusals(worker: Worker) -> list[str | None]:
    return [report.refusal for report in worker.versions._agreement.reports()]


def test_what_another_process_writes_is_followed(folder: Path, loads: list[str]) -> None:
    async def play(worker: Worker) -> None:
        switch(folder, "v1")
        await until_served(worker, "test-1")
        switch(folder, "v2")
        await until_served(worker, "test-2")

    within(folder, play)
    assert loads == ["v0", "v1", "v2"]


def test_a_switch_that_is_heard_of_twice_is_loaded_once(
    folder: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the call that makes it, and by the follower, who sees the file before the call is done."""
    write = DeploymentFile._write

    def slow(self: DeploymentFile, deployment: Deployment) -> None:
        write(self, deployment)
        time.sleep(0.3)

    async def play(worker: Worker) -> None:
        monkeypatch.setattr(DeploymentFile, "_write", slow)
        assert (await worker.deploy(stable="v1")).status_code == 200
        served = worker.versions.recommenders[0]
        await asyncio.sleep(0.2)
        assert worker.versions.recommenders == [served]

    within(folder, play, feedback=True)
    assert loads == ["v0", "v1"]


def test_two_calls_at_once_are_one_after_the_other(folder: Path, loads: list[str]) -> None:
    async def play(worker: Worker) -> None:
        replies = await asyncio.gather(worker.deploy(stable="v1"), worker.deploy(shadow="v2"))
        assert sorted(reply.json()["revision"] for reply in replies) == [1, 2]
        assert (worker.versions.deployment.stable, worker.versions.deployment.shadow) == ("v1", "v2")
        assert worker.versions.deployment == DeploymentFile(folder).read()

    within(folder, play)
    assert sorted(loads) == ["v0", "v1", "v2"]


@pytest.mark.parametrize(
    "error", [MemoryError("of user-0007"), OSError(5, "no such disk"), RuntimeError("of a library")]
)
def test_an_error_that_is_not_ours_ends_no_following(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def play(worker: Worker) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Recommender, "load", _raiser(error))
            switch(folder, "v1")
            await until(lambda: refusals(worker) == ["it cannot be loaded"])
        assert "a new deployment is not followed" in caplog.text
        assert await worker.version() == "test-0"
        switch(folder, "v2")
        await until_served(worker, "test-2")
        assert refusals(worker) == [None]

    within(folder, play)


def test_an_error_of_ours_is_told_as_it_is(folder: Path) -> None:
    path = folder / "v1" / LAYOUT.item_vectors
    path.write_bytes(path.read_bytes()[:-1])

    async def play(worker: Worker) -> None:
        switch(folder, "v1")
        await until(lambda: LAYOUT.item_vectors in (refusals(worker)[0] or ""))
        assert await worker.version() == "test-0"
        switch(folder, "v2")
        await until_served(worker, "test-2")

    within(folder, play)


def test_where_not_even_the_refusal_can_be_written_it_follows_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[None] = []

    def full(*_: object, **__: object) -> None:
        tried.append(None)
        raise OSError(28, "no space left on device")

    async def play(worker: Worker) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Recommender, "load", _raiser(MemoryError()))
            patched.setattr(agreement_module, "replace_file", full)
            switch(folder, "v1")
            await until(lambda: bool(tried))
        switch(folder, "v2")
        await until_served(worker, "test-2")

    within(folder, play)


def test_what_is_served_is_told_of_once_there_is_room_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[None] = []

    def full(*_: object, **__: object) -> None:
        tried.append(None)
        raise OSError(28, "no space left on device")

    async def play(worker: Worker) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(agreement_module, "replace_file", full)
            switch(folder, "v1")
            await until_served(worker, "test-1")
            await until(lambda: len(tried) > 3)
            assert worker.versions._agreement.reports() == [Report(0)]
        await until(lambda: worker.versions._agreement.reports() == [Report(1)])
        assert caplog.text.count("other workers cannot be told") == 1

    within(folder, play)


class TestTriedAgain:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retries_module, "FIRST_S", 0.02)

    def test_what_fails_for_a_while(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tried: list[None] = []

        async def play(worker: Worker) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(Recommender, "load", _raiser(MemoryError(), tried))
                switch(folder, "v1")
                await until(lambda: len(tried) == 4)
                assert caplog.text.count("a new deployment is not followed") == 1
            await until_served(worker, "test-1")
            await until(lambda: refusals(worker) == [None])

        within(folder, play)

    def test_a_file_that_cannot_be_read_for_a_while(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tried: list[None] = []
        opened = Path.open

        def unreadable(path: Path, *rest: Any, **options: Any) -> Any:
            if path.name == "deployment.json":
                tried.append(None)
                raise OSError(24, "too many open files")
            return opened(path, *rest, **options)

        async def play(worker: Worker) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(Path, "open", unreadable)
                path = folder / STATE / "fresh"
                path.write_text(json.dumps(Deployment("v1", "v0", revision=1).to_json()))
                path.rename(folder / STATE / "deployment.json")
                await until(lambda: len(tried) == 4)
                assert caplog.text.count("a new deployment is not followed") == 1
            await until_served(worker, "test-1")

        within(folder, play)

    def test_a_change_that_a_refused_call_saw_first(self, folder: Path) -> None:
        """The call reads the file, and so the follower is not to take it for one that it has followed."""
        damage(folder / "v2")

        async def play(worker: Worker) -> None:
            async with worker.versions._changing:  # the follower has no turn before the call
                switch(folder, "v1")
                with pytest.raises(IntegrityError):
                    worker.versions._file.change(
                        lambda before: before.switched("v2"), lambda after: worker.versions._models.load(after, {})
                    )
            await until_served(worker, "test-1")

        within(folder, play)

    def test_with_ever_longer_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(retries_module, "monotonic", lambda: now)
        monkeypatch.setattr(retries_module, "FIRST_S", 2.0)
        retries = Retries()
        assert retries.are_due()
        for pause in (2, 4, 8, 16, 32, 60, 60):
            assert retries.failed(MemoryError()) == (pause == 2)
            assert not retries.are_due()
            now += pause - 0.01
            assert not retries.are_due()
            now += 0.02
            assert retries.are_due()
        assert retries.failed(RuntimeError("another"))
        assert not retries.failed(RuntimeError("another"))


def test_a_file_that_is_garbled_or_gone_for_a_while_changes_nothing(folder: Path) -> None:
    path = folder / STATE / "deployment.json"

    async def play(worker: Worker) -> None:
        whole = path.read_text()
        path.write_text(whole[:20])
        await until(lambda: "is garbled" in (refusals(worker)[0] or ""))
        assert await worker.version() == "test-0"
        path.write_text(whole)
        await until(lambda: refusals(worker) == [None])
        path.unlink()
        await asyncio.sleep(0.1)
        assert await worker.version() == "test-0"
        path.write_text(json.dumps(Deployment("v1", "v0", revision=1).to_json()))
        await until_served(worker, "test-1")

    within(folder, play)


def _raiser(error: Exception, tried: list[None] | None = None) -> Callable[..., None]:
    def load(*_: object, **__: object) -> None:
        if tried is not None:
            tried.append(None)
        raise error

    return load
