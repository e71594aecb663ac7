"""Several versions in running workers: switched, rolled back, as canary and as shadow, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_artifact import write_tiny_artifact
from version_world import ADMIN, KEY, Worker, damage, member, refuse, versions_folder, within

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ConfigError, IntegrityError
from gnas_serve.service.deployment import STATE, Deployment, DeploymentFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return versions_folder(tmp_path)


def test_switch_and_rollback(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        assert await worker.version() == "test-0"
        reply = await worker.deploy(stable="v1")
        assert (reply.status_code, reply.json()["stable"], reply.json()["previous"]) == (200, "v1", "v0")
        assert await worker.version() == "test-1"
        assert (await worker.deploy(rollback=True)).json()["stable"] == "v0"
        assert await worker.version() == "test-0"
        assert (await worker.ask("GET", "/v1/admin/deployment", key=ADMIN)).json()["revision"] == 2
        labels = {"name": "tiny", "profile": "exact", "index": "flat", "ranker": "retrieval", "precision": "fp32"}
        served = {
            version: worker.registry.get_sample_value("gnas_serve_model_info", {**labels, "version": version})
            for version in ("test-0", "test-1")
        }
        assert served == {"test-0": 1.0, "test-1": 0.0}

    within(folder, play)
    # A restart goes on with what was served last, whatever the settings begin with.
    within(folder, lambda worker: _assert_version(worker, "test-0"))
    DeploymentFile(folder).change(lambda before: before.switched("v2"), lambda _after: None)
    within(folder, lambda worker: _assert_version(worker, "test-2"))


async def _assert_version(worker: Worker, version: str) -> None:
    assert await worker.version() == version


def test_who_goes_back_while_a_canary_runs_ends_it(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        await worker.deploy(stable="v1")
        for canary in ("v2", "v0"):  # v0 was stable before, too
            await worker.deploy(canary={"artifact": canary, "weight": 0.5})
            reply = (await worker.deploy(rollback=True)).json()
            assert (reply["stable"], reply["previous"], reply["canary"]) == ("v1", "v0", None)
            assert {await worker.version(user) for user in range(1000, 1020)} == {"test-1"}
        assert (await worker.deploy(rollback=True)).json()["stable"] == "v0"

    within(folder, play)


def test_the_first_canary_can_be_gone_back_from(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        await worker.deploy(canary={"artifact": "v1", "weight": 0.5})
        reply = await worker.deploy(rollback=True)
        assert (reply.status_code, reply.json()["canary"], reply.json()["stable"]) == (200, None, "v0")

    within(folder, play)


def test_what_admins_do_is_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(worker: Worker) -> None:
        with caplog.at_level("INFO"):
            await worker.deploy(canary={"artifact": "v1", "weight": 0.25})
            await worker.deploy(stable="v9")
            await worker.ask("POST", "/v1/admin/deployment", {"stable": "v1"}, key=KEY)  # nobody who may

    within(folder, play)
    told = [one for one in caplog.records if one.name == "gnas_serve.service.audit"]
    done, refused = [one.getMessage() for one in told]
    assert "ops asked for" in done
    assert "revision 1, stable v0, canary v1 for 0.25 of the users, shadow none" in done
    assert (told[1].levelname, "ops asked for" in refused, "refused (no_artifact)" in refused) == (
        "WARNING",
        True,
        True,
    )
    assert ADMIN not in caplog.text


def test_requests_under_way_and_those_that_come_see_no_gap(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        versions: set[str] = set()
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                versions.add(await worker.version())
                await asyncio.sleep(0)  # in process nothing else lets others have their turn

        asking = [asyncio.ensure_future(ask()) for _ in range(4)]
        for change in ({"stable": "v1"}, {"stable": "v2"}, {"rollback": True}):
            assert (await worker.deploy(**change)).status_code == 200
            await asyncio.sleep(0.05)
        done.set()
        await asyncio.gather(*asking)
        assert versions == {"test-0", "test-1", "test-2"}

    within(folder, play)


def test_a_canary_by_user(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        reply = await worker.deploy(canary={"artifact": "v1", "weight": 0.5, "salt": "s"})
        assert reply.json()["canary"] == {"artifact": "v1", "weight": 0.5, "salt": "s"}
        first = {user: await worker.version(user) for user in range(1000, 1040)}
        assert set(first.values()) == {"test-0", "test-1"}
        # Wider, with the salt that it has: those who had it keep it.
        await worker.deploy(canary={"artifact": "v1", "weight": 0.9})
        for user, version in first.items():
            assert version == "test-0" or await worker.version(user) == "test-1"
        reply = await worker.ask("POST", "/v1/recommend", {"user_id": 1000})
        model = reply.json()["model"]
        assert model["propensity"] == pytest.approx(0.9 if model["variant"] == "canary" else 0.1)
        worker.telemetry.hand_on()
        counted = sum(
            worker.registry.get_sample_value("gnas_serve_variant_answers_total", {"variant": variant}) or 0
            for variant in ("stable", "canary")
        )
        assert counted > 60
        batch = await worker.ask("POST", "/v1/recommend/batch", {"queries": [{"user_id": user} for user in first]})
        assert {one["model"]["variant"] for one in batch.json()["results"]} == {"stable", "canary"}
        # The canary becomes the stable one: nobody has another any more.
        done = (await worker.deploy(stable="v1")).json()
        assert (done["stable"], done["canary"]) == ("v1", None)
        assert {await worker.version(user) for user in first} == {"test-1"}

    within(folder, play)


def test_a_shadow_is_asked_and_tells_nobody(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        assert (await worker.deploy(shadow="v1")).status_code == 200
        for user in range(1000, 1020):
            assert await worker.version(user) == "test-0"
        for _ in range(200):
            if worker.registry.get_sample_value("gnas_serve_shadow_overlap_ratio_count") == 20:
                break
            await asyncio.sleep(0.02)
        assert worker.registry.get_sample_value("gnas_serve_shadow_overlap_ratio_count") == 20
        # Another seed, another taste: the first items are seldom the same.
        assert worker.registry.get_sample_value("gnas_serve_shadow_overlap_ratio_sum") < 10
        assert (await worker.deploy(shadow=None)).json()["shadow"] is None
        await worker.version()
        assert worker.registry.get_sample_value("gnas_serve_shadow_overlap_ratio_count") == 20

    within(folder, play)


class TestRefused:
    def test_a_damaged_artifact_and_the_old_one_goes_on(self, folder: Path) -> None:
        damage(folder / "v1")

        async def play(worker: Worker) -> None:
            for change in ({"stable": "v1"}, {"canary": {"artifact": "v1", "weight": 0.5}}, {"shadow": "v1"}):
                reply = await worker.deploy(**change)
                assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
                assert LAYOUT.item_vectors in reply.json()["detail"]
            assert await worker.version() == "test-0"
            deployment = (await worker.ask("GET", "/v1/admin/deployment", key=ADMIN)).json()
            assert deployment == {"stable": "v0", "previous": None, "canary": None, "shadow": None, "revision": 0}

        within(folder, play)

    @pytest.mark.parametrize(
        "name", ["../versions/v1", "v1/", ".deployment", "/etc", "v1\u0000", "v1\n", "", "x" * 129]
    )
    def test_what_is_no_name_of_an_artifact(self, folder: Path, name: str) -> None:
        async def play(worker: Worker) -> None:
            for change in ({"stable": name}, {"canary": {"artifact": name, "weight": 0.5}}, {"shadow": name}):
                reply = await worker.deploy(**change)
                assert (reply.status_code, reply.json()["code"]) == (400, "invalid_field")
            assert await worker.version() == "test-0"

        within(folder, play)

    def test_what_is_not_in_the_folder(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            for change in ({"stable": "v9"}, {"canary": {"artifact": "v9", "weight": 0.5}}, {"shadow": "v9"}):
                reply = await worker.deploy(**change)
                assert (reply.status_code, reply.json()["code"]) == (404, "no_artifact")
            assert await worker.version() == "test-0"

        within(folder, play)

    def test_nothing_to_go_back_to(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            reply = await worker.deploy(rollback=True)
            assert (reply.status_code, reply.json()["code"]) == (409, "no_previous")

        within(folder, play)

    def test_what_would_be_compared_with_itself(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            for change in ({"shadow": "v0"}, {"canary": {"artifact": "v0", "weight": 0.5}}):
                reply = await worker.deploy(**change)
                assert (reply.status_code, reply.json()["code"]) == (409, "same_version")
            # A shadow that becomes the stable version has come to its end.
            assert (await worker.deploy(shadow="v1")).json()["shadow"] == "v1"
            assert (await worker.deploy(stable="v1")).json()["shadow"] is None

        within(folder, play)

    def test_a_version_of_other_data(self, folder: Path) -> None:
        write_tiny_artifact(folder / "v3", text_ids=True)

        async def play(worker: Worker) -> None:
            for change in ({"stable": "v3"}, {"canary": {"artifact": "v3", "weight": 0.5}}, {"shadow": "v3"}):
                reply = await worker.deploy(**change)
                assert (reply.status_code, reply.json()["code"]) == (409, "other_ids")
                assert "the item ids of 'v3' are text, and integers in the version" in reply.json()["detail"]
            assert await worker.version() == "test-0"

        within(folder, play)

    def test_another_method_is_told_all_that_there_are(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            reply = await worker.ask("DELETE", "/v1/admin/deployment", key=ADMIN)
            assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST")

        within(folder, play)

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"stable": "v1", "rollback": True},
            {"canary": {"artifact": "v1", "weight": 0.0}},
            {"canary": {"artifact": "v1", "weight": 1.0}},
            {"canary": {"artifact": "v1"}},
            {"unknown": 1},
            {"stable": "../v1"},
            {"shadow": ".hidden"},
        ],
    )
    def test_what_is_no_change(self, folder: Path, change: dict[str, Any]) -> None:
        async def play(worker: Worker) -> None:
            reply = await worker.deploy(**change)
            assert reply.status_code == 400
            assert "error" not in reply.json()["detail"].lower()
            assert "[" not in reply.json()["detail"]

        within(folder, play)

    def test_who_is_no_admin(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            for method, body in (("POST", {"stable": "v1"}), ("GET", None)):
                reply = await worker.ask(method, "/v1/admin/deployment", body, key=KEY)
                assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
            # And an admin's key is none for callers.
            assert (await worker.ask("GET", "/v1/model", key=ADMIN)).status_code == 401
            assert await worker.version() == "test-0"

        within(folder, play)

    def test_without_admins(self, folder: Path) -> None:
        async def play(worker: Worker) -> None:
            reply = await worker.deploy(stable="v1")
            assert (reply.status_code, reply.json()["code"]) == (501, "feature_off")

        within(folder, play, admin_keys=None)


class TestSeveralWorkers:
    def test_all_serve_it_before_the_call_answers(self, folder: Path) -> None:
        async def run() -> None:
            async with Worker(folder).running() as one, Worker(folder).running() as other:
                assert (await one.deploy(stable="v1")).status_code == 200
                assert await other.version() == "test-1"

        asyncio.run(run())

    def test_where_one_refuses_all_go_back(self, folder: Path) -> None:
        async def run() -> None:
            async with Worker(folder).running() as one:
                other = member(folder)
                reply, _ = await asyncio.gather(one.deploy(stable="v1"), refuse(other, folder, 1))
                assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
                assert "no room for it" in reply.json()["detail"]
                assert await one.version() == "test-0"
                other.leave()

        asyncio.run(run())


def test_feedback_follows_into_the_next_version(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        best = (await worker.ask("POST", "/v1/recommend", {"user_id": 1007, "k": 1})).json()["items"][0]["item_id"]
        sent = {"events": [{"event_id": "e", "user_id": 1007, "item_id": best}]}
        assert (await worker.ask("POST", "/v1/feedback", sent)).status_code == 202
        await worker.deploy(stable="v1")
        answer = (await worker.ask("POST", "/v1/recommend", {"user_id": 1007, "k": 80})).json()
        assert answer["model"]["version"] == "test-1"
        assert best not in [item["item_id"] for item in answer["items"]]
        sent = {"events": [{"event_id": "f", "user_id": 1007, "item_id": answer["items"][0]["item_id"]}]}
        assert (await worker.ask("POST", "/v1/feedback", sent)).status_code == 202
        later = (await worker.ask("POST", "/v1/recommend", {"user_id": 1007, "k": 80})).json()["items"]
        assert len(later) == len(answer["items"]) - 1

    within(folder, play, feedback=True)


class TestFile:
    def test_the_first_artifact_has_to_be_in_the_folder(self, folder: Path, tmp_path: Path) -> None:
        shutil.copytree(folder / "v0", tmp_path / "elsewhere")
        with pytest.raises(ConfigError, match="not in the folder of versions"):
            DeploymentFile(folder).open(tmp_path / "elsewhere")

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{}",
            json.dumps(Deployment("../v0").to_json()),
            json.dumps(Deployment("v0").to_json() | {"format_version": 2}),
            json.dumps(Deployment("v0").to_json() | {"canary": {"artifact": "v1", "weight": 2.0, "salt": ""}}),
        ],
    )
    def test_a_garbled_one_is_named(self, folder: Path, content: str) -> None:
        found = DeploymentFile(folder)
        found.open(folder / "v0")
        (folder / STATE / "deployment.json").write_text(content)
        with pytest.raises(IntegrityError, match=r"deployment\.json is garbled"):
            DeploymentFile(folder).open(folder / "v0")
