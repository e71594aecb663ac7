"""The gRPC door in process over a real channel: the HTTP door's answers, codes, limits, health, reflection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_world import World, refused
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import GnasError, IntegrityError, StorageError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.client import recommend, to_id
from gnas_serve.service.errors import CODE_KEY, statuses_of
from gnas_serve.service.grpc_calls import SERVICE
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub
from gnas_serve.service.settings import MAX_BODY_BYTES
from gnas_serve.service.streams import MAX_STREAMS


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("grpc") / "artifact")


@pytest.fixture(scope="module")
def world(artifact: Path) -> Iterator[World]:
    made = World(artifact)
    yield made
    made.close()


REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class TestAnswers:
    def test_recommend_is_the_runtimes_answer(self, world: World) -> None:
        answer = world.recommender.recommend(Query(1007, 5))
        assert recommend(world.target, user_id=1007, k=5) == {
            "items": [
                {"item_id": item_id, "score": score, "source": "user"}
                for item_id, score in zip(answer.item_ids, answer.scores, strict=True)
            ],
            "underfilled": False,
            "model": {"name": "tiny", "version": "test-0"},
        }

    def test_absent_fields_have_the_http_doors_defaults(self, world: World) -> None:
        answer = world.recommender.recommend(Query())
        response = world.stub.Recommend(pb.RecommendRequest())
        assert [item.item_id.integer for item in response.items] == answer.item_ids
        assert {item.source for item in response.items} == {"popularity"}

    def test_fold_in_exclusions_and_seen(self, world: World) -> None:
        message = pb.RecommendRequest(
            user_id=to_id("1007"), k=1000, history=[to_id(2001)], exclude_items=[to_id("2002")], exclude_seen=False
        )
        got = [item.item_id.integer for item in world.stub.Recommend(message).items]
        assert got == world.recommender.recommend(Query(1007, 1000, (2001,), (2002,), False)).item_ids
        assert len(got) == 78

    def test_candidates_and_no_candidates(self, world: World) -> None:
        allowed = [to_id(2001 + row) for row in range(0, 80, 9)]
        some, none = (pb.RecommendRequest(user_id=to_id(1007), candidates=pb.Ids(ids=ids)) for ids in (allowed, []))
        got = [item.item_id.integer for item in world.stub.Recommend(some).items]
        assert got == world.recommender.recommend(Query(1007, candidates=tuple(range(2001, 2081, 9)))).item_ids
        assert set(got) <= {one.integer for one in allowed}
        assert len(world.stub.Recommend(none).items) == 0

    def test_batch(self, world: World) -> None:
        queries = [pb.RecommendRequest(user_id=to_id(1000 + row), k=row + 1) for row in range(20)]
        response = world.stub.RecommendBatch(pb.RecommendBatchRequest(queries=queries))
        assert [result.items for result in response.results] == [world.stub.Recommend(q).items for q in queries]

    def test_similar_items(self, world: World) -> None:
        response = world.stub.SimilarItems(pb.SimilarItemsRequest(item_id=to_id(2003), k=4))
        answer = world.recommender.similar_items(2003, 4)
        assert [(item.item_id.integer, item.score) for item in response.items] == list(
            zip(answer.item_ids, answer.scores, strict=True)
        )

    def test_model(self, world: World) -> None:
        facts = world.stub.GetModel(pb.GetModelRequest())
        assert (facts.name, facts.num_items, dict(facts.metrics)) == ("tiny", 80, {"ndcg@20": 0.125})
        assert list(facts.branches) == ["gnn"]

    def test_text_ids(self, tmp_path: Path) -> None:
        world = World(write_tiny_artifact(tmp_path / "artifact", text_ids=True))
        try:
            items = recommend(world.target, user_id="user-0007", k=3)["items"]
        finally:
            world.close()
        assert [item["item_id"] for item in items] == world.recommender.recommend(Query("user-0007", 3)).item_ids


def query(**fields: Any) -> Callable[[RecommenderStub], object]:
    return lambda stub: stub.Recommend(pb.RecommendRequest(**fields))


BAD_CALLS: list[tuple[Callable[[Any], object], str, str]] = [
    (query(k=0), "invalid_k", "k"),
    (query(k=-1), "invalid_k", "k"),
    (query(k=1_000_000_000), "invalid_k", "k"),
    (query(user_id=pb.Id()), "invalid_id", "user_id"),
    (query(user_id=to_id("u" * 257)), "invalid_id", "user_id"),
    (query(history=[to_id(1), pb.Id()]), "invalid_id", "history.1"),
    (query(history=[to_id(2001)] * 1001), "list_too_long", "history"),
    (query(exclude_items=[to_id(2001)] * 1001), "list_too_long", "exclude_items"),
    (query(candidates=pb.Ids(ids=[to_id(2001)] * 10_001)), "list_too_long", "candidates"),
    (query(candidates=pb.Ids(ids=[to_id(2001), pb.Id()])), "invalid_id", "candidates.1"),
    (lambda stub: stub.RecommendBatch(pb.RecommendBatchRequest()), "list_too_short", "queries"),
    (
        lambda stub: stub.RecommendBatch(pb.RecommendBatchRequest(queries=[pb.RecommendRequest()] * 257)),
        "list_too_long",
        "queries",
    ),
    (
        lambda stub: stub.RecommendBatch(pb.RecommendBatchRequest(queries=[pb.RecommendRequest(k=0)])),
        "invalid_k",
        "queries.0.k",
    ),
    (lambda stub: stub.SimilarItems(pb.SimilarItemsRequest()), "missing_field", "item_id"),
    (lambda stub: stub.SimilarItems(pb.SimilarItemsRequest(item_id=to_id(2001), k=0)), "invalid_k", "k"),
]


class TestBadInput:
    @pytest.mark.parametrize(("call", "code", "field"), BAD_CALLS, ids=range(len(BAD_CALLS)))
    def test_a_refused_call_names_the_field(
        self, world: World, call: Callable[[Any], object], code: str, field: str
    ) -> None:
        status, got, details = refused(lambda: call(world.stub))
        assert (status, got) == (grpc.StatusCode.INVALID_ARGUMENT, code)
        assert details.startswith(f"{field}: ")

    def test_an_unknown_item(self, world: World) -> None:
        status, code, _ = refused(lambda: world.stub.SimilarItems(pb.SimilarItemsRequest(item_id=to_id(1))))
        assert (status, code) == (grpc.StatusCode.NOT_FOUND, "item_not_found")

    def test_bytes_that_are_no_message(self, world: World) -> None:
        raw = world.channel.unary_unary(f"/{SERVICE}/Recommend")
        status, code, _ = refused(lambda: raw(b"\xff\xff\xff\xff"))
        assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_message")

    def test_bytes_that_are_no_message_to_health_and_reflection(self, world: World) -> None:
        channel = world.channel
        for call in (
            lambda: channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff\xff\xff\xff"),
            lambda: next(channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff\xff\xff\xff")),
            lambda: next(channel.stream_stream(REFLECTION)(iter([b"\xff\xff\xff\xff"]))),
        ):
            status, code, _ = refused(call)
            assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_message")

    def test_a_message_over_the_limit(self, world: World) -> None:
        big = pb.RecommendRequest(user_id=to_id("u" * (MAX_BODY_BYTES + 1)))
        assert refused(lambda: world.stub.Recommend(big))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED

    def test_an_unknown_call(self, world: World) -> None:
        raw = world.channel.unary_unary(f"/{SERVICE}/Nothing")
        assert refused(lambda: raw(b""))[0] is grpc.StatusCode.UNIMPLEMENTED

    def test_an_answer_that_takes_too_long(self, artifact: Path) -> None:
        world = World(artifact, timeout_s=0.002)
        queries = [pb.RecommendRequest(user_id=to_id(1000 + row % 60)) for row in range(256)]
        try:
            status, code, _ = refused(lambda: world.stub.RecommendBatch(pb.RecommendBatchRequest(queries=queries)))
        finally:
            world.close()
        assert (status, code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")

    def test_a_bug_is_answered_without_its_details(self, artifact: Path, caplog: pytest.LogCaptureFixture) -> None:
        class BrokenRecommender:
            info = Recommender.load(artifact).info

            def recommend_staged(self, _query: Query) -> None:
                raise ZeroDivisionError("secret")

        world = World(artifact, recommender=BrokenRecommender())
        try:
            status, code, details = refused(lambda: world.stub.Recommend(pb.RecommendRequest()))
        finally:
            world.close()
        assert (status, code) == (grpc.StatusCode.INTERNAL, "internal")
        assert "secret" not in details
        assert "secret" in caplog.text

    @pytest.mark.parametrize("kind", [StorageError, IntegrityError, GnasError])
    def test_an_error_of_the_servers_own_is_for_its_log(
        self, artifact: Path, caplog: pytest.LogCaptureFixture, kind: type[GnasError]
    ) -> None:
        class FailingRecommender:
            info = Recommender.load(artifact).info

            def recommend_staged(self, _query: Query) -> None:
                raise kind("cannot read /secret/path")

        world = World(artifact, recommender=FailingRecommender())
        try:
            status, code, details = refused(lambda: world.stub.Recommend(pb.RecommendRequest()))
        finally:
            world.close()
        assert (status, code) == (statuses_of(kind("x")).grpc, kind.code)
        assert "secret" not in details
        assert "cannot read /secret/path" in caplog.text


def test_streams_leave_room_for_calls_and_do_not_hold_up_a_stop(artifact: Path) -> None:
    world = World(artifact, max_in_flight=2, drain_s=20.0)
    hold = threading.Event()
    try:
        health = health_pb2_grpc.HealthStub(world.channel)
        half = MAX_STREAMS // 2
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(half)]
        assert all(next(watch).status == health_pb2.HealthCheckResponse.SERVING for watch in watches)
        reflection = reflection_pb2_grpc.ServerReflectionStub(world.channel)

        def questions() -> Iterator[reflection_pb2.ServerReflectionRequest]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            hold.wait(20)

        listings = [reflection.ServerReflectionInfo(questions()) for _ in range(MAX_STREAMS - half)]
        assert all(next(listing).HasField("list_services_response") for listing in listings)
        for more in (
            lambda: next(health.Watch(health_pb2.HealthCheckRequest())),
            lambda: next(reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()]))),
        ):
            assert refused(more)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(world.stub.Recommend(pb.RecommendRequest(k=3)).items) == 3
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        watches.pop().cancel()
        assert next(health.Watch(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        started = time.monotonic()
        world.run(world.door.close())
        assert time.monotonic() - started < 10
    finally:
        hold.set()
        world.close()


def test_of_a_burst_the_others_are_told_with_a_code(artifact: Path) -> None:
    world = World(artifact, max_in_flight=1)
    try:
        pending = [world.stub.Recommend.future(pb.RecommendRequest(k=5)) for _ in range(400)]
        outcomes: dict[str, int] = {}
        for call in pending:
            try:
                assert len(call.result(20).items) == 5
                outcome = "ok"
            except grpc.RpcError as error:
                outcome = f"{error.code().name} {dict(error.trailing_metadata() or ()).get(CODE_KEY)}"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert outcomes["ok"] >= 1
        # Beyond twice the number gRPC itself refuses, before anything of ours is asked.
        assert set(outcomes) <= {"ok", "RESOURCE_EXHAUSTED overloaded", "RESOURCE_EXHAUSTED None"}, outcomes
        assert len(world.stub.Recommend(pb.RecommendRequest(k=3)).items) == 3
    finally:
        world.close()


def test_health_and_drain(artifact: Path) -> None:
    world = World(artifact)
    try:
        health = health_pb2_grpc.HealthStub(world.channel)
        for name in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
        world.run(world.door.drain())
        for name in ("", SERVICE):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name)).status
            assert answer == health_pb2.HealthCheckResponse.NOT_SERVING
        # Draining says so and still answers: callers need time to look elsewhere.
        assert len(world.stub.Recommend(pb.RecommendRequest(k=3)).items) == 3
    finally:
        world.close()


def test_reflection_lists_the_service(world: World) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    listed = next(stub.ServerReflectionInfo(requests)).list_services_response.service
    assert {service.name for service in listed} >= {SERVICE, "grpc.health.v1.Health"}


def test_metrics_name_the_door(artifact: Path) -> None:
    world = World(artifact)
    try:
        world.stub.Recommend(pb.RecommendRequest())
        refused(lambda: world.stub.Recommend(pb.RecommendRequest(k=0)))
    finally:
        world.close()
    for code in ("OK", "INVALID_ARGUMENT"):
        labels = {"door": "grpc", "method": "recommend", "code": code}
        assert world.registry.get_sample_value("gnas_serve_requests_total", labels) == 1
    assert world.registry.get_sample_value("gnas_serve_in_flight_requests", {"door": "grpc"}) == 0
