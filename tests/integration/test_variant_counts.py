"""Whatever a variant answers is counted as its own, at both doors, and what it refuses is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc_world
import pytest
from front_world import World
from tiny_artifact import write_tiny_artifact

from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.client import to_id
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.variants import CANARY, STABLE, Variants

USERS = range(1000, 1020)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Variants:
    folder = tmp_path_factory.mktemp("variants")
    stable, canary = (Recommender.load(write_tiny_artifact(folder / f"v{seed}", seed=seed)) for seed in (0, 1))
    return Variants.of(stable, canary, weight=0.5, salt="s")


@pytest.fixture
def http(variants: Variants) -> World:
    world = World(Path(), variants.stable.recommender)
    world.calls.serve(variants)
    return world


@pytest.fixture
def rpc(variants: Variants) -> Iterator[grpc_world.World]:
    world = grpc_world.World(Path(), variants.stable.recommender)
    world.calls.serve(variants)
    yield world
    world.close()


def counted(world: Any) -> dict[str, float]:
    world.telemetry.hand_on()
    name = "gnas_serve_variant_answers_total"
    return {one: world.registry.get_sample_value(name, {"variant": one}) or 0 for one in (STABLE, CANARY)}


ASKED = [
    ("recommend", {"k": 3}),
    ("rank", {"candidates": [2001, 2002]}),
    ("explain", {"item_id": 2001}),
    ("similar-users", {"k": 3}),
]


@pytest.mark.parametrize(("path", "body"), ASKED, ids=[path for path, _ in ASKED])
def test_over_http(http: World, path: str, body: dict[str, Any]) -> None:
    signed = Counter(http.post(f"/v1/{path}", {"user_id": user, **body}).json()["model"]["variant"] for user in USERS)
    assert len(signed) == 2
    assert counted(http) == signed


def test_a_batch_over_http(http: World) -> None:
    queries = [{"user_id": user, "k": 3} for user in USERS]
    results = http.post("/v1/recommend/batch", {"queries": queries}).json()["results"]
    assert counted(http) == Counter(one["model"]["variant"] for one in results)


def test_what_only_the_stable_model_is_asked(http: World) -> None:
    reply = http.post("/v1/similar-items", {"item_id": 2001}).json()
    assert reply["model"]["variant"] == STABLE
    assert counted(http) == {STABLE: 0, CANARY: 0}  # where the shares of the users are to be seen


def test_what_is_refused_is_no_answer(http: World) -> None:
    for path, body in (
        ("recommend", {"user_id": 1, "strict": True}),
        ("explain", {"user_id": 1007, "item_id": 1}),
        ("similar-users", {"user_id": 1}),
        ("similar-items", {"item_id": 1}),
    ):
        assert http.post(f"/v1/{path}", body).status_code == 404
    assert counted(http) == {STABLE: 0, CANARY: 0}


def test_without_a_canary_nothing_is_told_apart(http: World, variants: Variants) -> None:
    http.calls.serve(Variants.of(variants.stable.recommender))
    for path, body in ASKED:
        assert http.post(f"/v1/{path}", {"user_id": 1007, **body}).status_code == 200
    assert counted(http) == {STABLE: 0, CANARY: 0}


def test_over_grpc(rpc: grpc_world.World) -> None:
    signed: Counter[str] = Counter()
    for user in USERS:
        who = to_id(user)
        for answer in (
            rpc.stub.Recommend(pb.RecommendRequest(user_id=who)),
            rpc.stub.Rank(pb.RankRequest(user_id=who, candidates=[to_id(2001), to_id(2002)])),
            rpc.stub.Explain(pb.ExplainRequest(user_id=who, item_id=to_id(2001))),
            rpc.stub.SimilarUsers(pb.SimilarUsersRequest(user_id=who)),
        ):
            signed[answer.model.variant] += 1
    batch = pb.RecommendBatchRequest(queries=[pb.RecommendRequest(user_id=to_id(user)) for user in USERS])
    signed.update(one.model.variant for one in rpc.stub.RecommendBatch(batch).results)
    assert len(signed) == 2
    assert counted(rpc) == signed
