"""What a worker does at SIGHUP: links and folders are read again. tests/e2e/test_serve_hangup.py sends it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from tiny_artifact import write_tiny_artifact
from version_world import ADMIN, Worker, damage, point, versions_folder, within

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ConfigError, IntegrityError
from gnas_serve.runtime.query import Query
from gnas_serve.service.deployment import Deployment, DeploymentFile
from gnas_serve.service.errors import RefusedArtifactError
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.one_artifact import OneArtifact
from gnas_serve.service.schemas import FeedbackRequest, from_json
from gnas_serve.service.variants import Variants


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return versions_folder(tmp_path)


def test_a_link_is_followed_to_one_of_the_versions(folder: Path) -> None:
    link = folder.parent / "live"

    async def play(worker: Worker) -> None:
        assert await worker.version() == "test-0"
        await worker.versions.renew()
        assert worker.versions.deployment.revision == 0
        for name in ("v1", "v0", "v1"):
            point(link, folder / name)
            await worker.versions.renew()
            assert await worker.version() == f"test-{name[1]}"
        deployment = (await worker.ask("GET", "/v1/admin/deployment", key=ADMIN)).json()
        assert (deployment["stable"], deployment["previous"], deployment["revision"]) == ("v1", "v0", 3)
        assert (await worker.deploy(rollback=True)).json()["stable"] == "v0"

    point(link, folder / "v0")
    within(folder, play, artifact=link)


def test_all_workers_are_told_and_follow_once(folder: Path) -> None:
    link = folder.parent / "live"
    point(link, folder / "v0")

    async def run() -> None:
        workers = [Worker(folder, artifact=link) for _ in range(2)]
        async with workers[0].running() as one, workers[1].running() as other:
            point(link, folder / "v1")
            await asyncio.gather(one.versions.renew(), other.versions.renew())
            assert (await one.version(), await other.version()) == ("test-1", "test-1")
            assert one.versions.deployment == other.versions.deployment == Deployment("v1", "v0", revision=1)

    asyncio.run(run())


def test_what_is_no_version_or_damaged_is_refused(folder: Path) -> None:
    link = folder.parent / "live"
    point(link, folder / "v0")
    damage(folder / "v1")
    elsewhere = write_tiny_artifact(folder.parent / "elsewhere", seed=5)

    async def play(worker: Worker) -> None:
        point(link, folder / "v1")
        with pytest.raises(RefusedArtifactError, match=LAYOUT.item_vectors):
            await worker.versions.renew()
        point(link, elsewhere)
        with pytest.raises(ConfigError, match="not in the folder of versions"):
            await worker.versions.renew()
        assert await worker.version() == "test-0"
        assert worker.versions.deployment.revision == 0

    within(folder, play, artifact=link)


def test_a_folder_that_is_another_by_now_is_read_again(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        await worker.deploy(shadow="v1")
        before = worker.versions.recommenders
        (folder / "v0").rename(folder.parent / "gone")
        write_tiny_artifact(folder / "v0", seed=7)
        await worker.versions.renew()
        assert await worker.version() == "test-7"
        # What is as it was is not loaded anew.
        assert worker.versions.recommenders[1] is before[1]
        (folder / "v0").rename(folder.parent / "gone, too")
        damage(write_tiny_artifact(folder / "v0", seed=8))
        with pytest.raises(IntegrityError, match=LAYOUT.item_vectors):
            await worker.versions.renew()
        assert await worker.version() == "test-7"

    within(folder, play)


def test_a_damaged_copy_of_what_is_served_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    link = folder.parent / "live"

    async def one_alone() -> None:
        served = OneArtifact(link)
        served.open(lambda _variants: None, None)
        before = served.variants
        point(link, shutil.copytree(folder / "v0", folder.parent / "copy"))
        await served.renew()
        assert "holds what is served" in caplog.text
        caplog.clear()
        damage(folder.parent / "copy")
        with pytest.raises(IntegrityError, match=LAYOUT.item_vectors):
            await served.renew()
        assert served.variants is before
        assert not caplog.records  # which do not say that all is well

    async def among_versions(worker: Worker) -> None:
        await worker.versions.renew()
        (folder / "v0").rename(folder.parent / "gone")
        damage(Path(shutil.copytree(folder.parent / "gone", folder / "v0")))
        with pytest.raises(IntegrityError, match=LAYOUT.item_vectors):
            await worker.versions.renew()
        assert await worker.version() == "test-0"

    point(link, folder / "v0")
    asyncio.run(one_alone())
    within(folder, among_versions)


def test_a_change_that_another_worker_has_made_is_taken_over(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        DeploymentFile(folder).change(lambda before: before.switched("v1"), lambda _after: None)
        assert (await worker.deploy(stable="v1")).json()["stable"] == "v1"
        assert await worker.version() == "test-1"

    within(folder, play)


def test_one_artifact_and_its_feedback(folder: Path) -> None:
    point(folder.parent / "live", folder / "v0")

    async def run() -> None:
        served = OneArtifact(folder.parent / "live")
        feedback = Feedback(folder.parent / "log", served.recommenders)
        told: list[Variants] = []
        served.open(told.append, feedback)
        await served.renew()
        assert told == [served.variants]
        before = served.recommenders[0]
        best = before.recommend(Query(1007, k=1)).item_ids[0]
        sent = {"events": [{"event_id": "e", "user_id": 1007, "item_id": best}]}
        await feedback.take(from_json(FeedbackRequest, json.dumps(sent).encode()))
        point(folder.parent / "live", folder / "v1")
        await served.renew()
        assert [one.stable.recommender.info.version for one in told] == ["test-0", "test-1"]
        assert best not in served.recommenders[0].recommend(Query(1007, k=80)).item_ids
        point(folder.parent / "live", folder / "v9")
        with pytest.raises(ConfigError):
            await served.renew()
        assert served.variants is told[-1]
        await feedback.close()

    asyncio.run(run())
