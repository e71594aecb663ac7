"""What the ranker computes on fails while a server runs: at a request, the shadow's, or under a version that comes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import grpc
import grpc_world
import pytest
from front_world import World
from hungry_ranker import make_hungry
from tiny_artifact import write_tiny_artifact
from version_world import ADMIN, Worker, versions_folder, within

from gnas_serve.errors import ProviderError
from gnas_serve.runtime.providers import CUDA, PROVIDERS
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.session import TRIAL_MODEL
from gnas_serve.service.client import to_id
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.variants import Variants

_LOOK = """
import sys, onnxruntime as ort
session = ort.InferenceSession(bytes.fromhex(sys.argv[1]), providers=["CUDAExecutionProvider"])
sys.exit("CUDAExecutionProvider" in session.get_providers())
"""


@pytest.fixture(scope="module")
def hungry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hungry(write_tiny_artifact(tmp_path_factory.mktemp("hungry") / "artifact"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = versions_folder(tmp_path)
    make_hungry(found / "v1")
    return found


def test_it_is_an_error_of_its_own(hungry: Path) -> None:
    recommender = Recommender.load(hungry)
    with pytest.raises(ProviderError, match=f"{PROVIDERS['cpu']} failed to rank: .*memory") as caught:
        recommender.recommend(Query(1007))
    assert caught.value.exit_code == 9
    assert len(recommender.recommend(Query(1007, candidates=(2001, 2002))).item_ids) == 2


def test_http_says_for_now_and_the_log_why(hungry: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(hungry)
    reply = world.post("/v1/recommend", {"user_id": 1007})
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "provider_failed", "1")
    assert "memory" not in reply.text
    assert "failed to rank" in caplog.text
    assert world.post("/v1/recommend", {"user_id": 1007, "candidates": [2001, 2002]}).status_code == 200
    assert world.metric("gnas_serve_requests_total", door="http", method="recommend", code="503") == 1


def test_grpc_says_so_as_well(hungry: Path) -> None:
    world = grpc_world.World(hungry)
    try:
        status, code, details = grpc_world.refused(
            lambda: world.stub.Recommend(pb.RecommendRequest(user_id=to_id(1007)))
        )
    finally:
        world.close()
    assert (status, code) == (grpc.StatusCode.UNAVAILABLE, "provider_failed")
    assert "memory" not in details


def test_a_version_that_fails_at_its_first_question_is_refused(folder: Path) -> None:
    async def play(worker: Worker) -> None:
        reply = await worker.deploy(stable="v1")
        assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
        assert "failed to rank" in reply.json()["detail"]
        assert await worker.version() == "test-0"

    within(folder, play)


def test_a_version_for_a_device_that_is_gone_is_refused(folder: Path) -> None:
    looked = subprocess.run([sys.executable, "-c", _LOOK, TRIAL_MODEL.hex()], capture_output=True, check=False)
    if looked.returncode:
        pytest.skip("CUDA works here")

    async def play(worker: Worker) -> None:
        worker.versions._models._provider = CUDA  # as it was started, and the device was lost since
        reply = await worker.deploy(stable="v2")
        assert reply.headers["content-type"] == "application/problem+json"
        assert (reply.status_code, reply.json()["code"]) == (409, "artifact_refused")
        assert "is to compute on cuda" in reply.json()["detail"]
        assert (await worker.ask("GET", "/v1/admin/deployment", key=ADMIN)).json()["revision"] == 0
        assert await worker.version() == "test-0"

    within(folder, play)


def test_of_the_shadow_it_is_a_failure_and_no_refusal(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(worker: Worker) -> None:
        stable, shadow = worker.versions.recommenders[0], Recommender.load(folder / "v1")
        worker.calls.serve(Variants.of(stable, shadow=shadow))
        assert await worker.version() == "test-0"
        for _ in range(200):
            if "the shadow failed" in caplog.text:
                break
            await asyncio.sleep(0.02)
        counted = {
            reason: worker.registry.get_sample_value("gnas_serve_shadow_unanswered_total", {"reason": reason})
            for reason in ("failed", "refused")
        }
        assert counted == {"failed": 1, "refused": None}

    with caplog.at_level(logging.ERROR):
        within(folder, play)
