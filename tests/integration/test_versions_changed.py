"""Changes of what is served that come to nothing: what others changed meanwhile, and what was loaded for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import write_tiny_artifact
from version_world import Worker, damage, member, refuse, versions_folder, within, written

from gnas_serve.feedback.recent import Recent
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service import agreement as agreement_module
from gnas_serve.service import versions as versions_module
from gnas_serve.service.agreement import Agreement, Report
from gnas_serve.service.deployment import Deployment, DeploymentFile


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


def test_what_others_changed_after_a_change_outlives_its_refusal(folder: Path, other: Agreement) -> None:
    async def play(worker: Worker) -> None:
        deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
        await written(folder, 1)
        # Somebody else changes what all serve while this worker waits for the other one.
        theirs = DeploymentFile(folder).change(lambda before: replace(before, shadow="v2"), lambda _after: None)
        other.report(Report(0, 1, "no room for it"))
        reply = await deploying
        assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
        assert "what was changed since stays" in reply.json()["detail"]
        assert DeploymentFile(folder).read() == theirs

    within(folder, play)


def test_what_others_changed_before_a_change_outlives_its_refusal(folder: Path, other: Agreement) -> None:
    """A worker may not have heard of it yet: it goes back to what the file held, not to what it serves itself."""

    async def play(worker: Worker) -> None:
        DeploymentFile(folder).change(lambda before: replace(before, shadow="v2"), lambda _after: None)
        reply, _ = await asyncio.gather(worker.deploy(stable="v1"), refuse(other, folder, 2))
        assert reply.status_code == 409
        assert DeploymentFile(folder).read() == Deployment("v0", shadow="v2", revision=3)

    within(folder, play)


def test_all_go_on_as_before_once_the_refusal_is_answered(
    folder: Path, other: Agreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that was asked goes back by itself, and answers when the others have gone back, too."""

    async def play(worker: Worker) -> None:
        monkeypatch.setattr(versions_module, "_POLL_S", 600.0)
        async with Worker(folder).running() as follower:
            # It polls when it is told to alone.
            async def follow(revision: int) -> None:
                await written(folder, revision)
                async with follower.versions._changing:
                    await follower.versions._catch_up()

            deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
            await follow(1)
            assert (await worker.version(), await follower.version()) == ("test-1", "test-1")
            other.report(Report(0, 1, "no room for it"))
            await written(folder, 2)
            other.report(Report(2))
            done, _ = await asyncio.wait({deploying}, timeout=0.2)
            assert not done
            await follow(2)
            reply = await deploying
            assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
            assert "all go on as before" in reply.json()["detail"]
            assert (await worker.version(), await follower.version()) == ("test-0", "test-0")

    within(folder, play)


def test_workers_that_have_not_gone_back_are_told_of(
    folder: Path, other: Agreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(worker: Worker) -> None:
        deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
        await written(folder, 1)
        monkeypatch.setattr(agreement_module, "PATIENCE_S", 0.0)
        other.report(Report(0, 1, "no room for it"))
        reply = await deploying
        assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
        assert "not all have gone back yet" in reply.json()["detail"]
        assert await worker.version() == "test-0"

    within(folder, play)


def test_what_cannot_be_gone_back_to_is_told_of(
    folder: Path, other: Agreement, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(worker: Worker) -> None:
        deploying = asyncio.ensure_future(worker.deploy(stable="v1"))
        await written(folder, 1)
        monkeypatch.setattr(DeploymentFile, "_write", full)
        other.report(Report(0, 1, "no room for it"))
        reply = await deploying
        assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
        assert "could not be undone" in reply.json()["detail"]
        assert str(folder) not in reply.text
        assert "no space left on device" in caplog.text

    within(folder, play)


class TestFeedbackIsToldToWhatIsServedAlone:
    def test_where_the_file_cannot_be_written(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def play(worker: Worker) -> None:
            monkeypatch.setattr(DeploymentFile, "_write", full)
            for _ in range(3):
                assert (await worker.deploy(stable="v1")).status_code == 500
            assert told(worker) == worker.versions.recommenders

        within(folder, play, feedback=True)

    def test_where_what_the_log_holds_cannot_be_replayed(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def play(worker: Worker) -> None:
            monkeypatch.setattr(Recent, "replay", full)
            assert (await worker.deploy(stable="v1", shadow="v2")).status_code == 500
            assert told(worker) == worker.versions.recommenders
            (folder / "v0").rename(folder.parent / "gone")
            write_tiny_artifact(folder / "v0", seed=7)
            with pytest.raises(OSError, match="no space"):
                await worker.versions.renew()
            assert told(worker) == worker.versions.recommenders

        within(folder, play, feedback=True)

    def test_where_another_process_made_the_change(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def play(worker: Worker) -> None:
            monkeypatch.setattr(Recent, "replay", full)
            DeploymentFile(folder).change(lambda before: before.switched("v1"), lambda _after: None)
            async with asyncio.timeout(10):
                while not any(one.refusal for one in worker.versions._agreement.reports()):
                    await asyncio.sleep(0.01)
            assert told(worker) == worker.versions.recommenders

        within(folder, play, feedback=True)

    def test_where_only_one_of_two_can_be_loaded(self, folder: Path) -> None:
        damage(folder / "v2")

        async def play(worker: Worker) -> None:
            assert (await worker.deploy(stable="v1", shadow="v2")).status_code == 409
            assert told(worker) == worker.versions.recommenders

        within(folder, play, feedback=True)


def told(worker: Worker) -> list[Recommender]:
    """Give the models that feedback is told to."""
    assert worker.feedback is not None
    return list(worker.feedback._recents)


def full(*_: object, **__: object) -> None:
    raise OSError(28, "no space left on device")
