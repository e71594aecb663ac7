"""What both doors tell of a request: ids that go around, access log, spans, and metrics of answers."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import grpc_world
import numpy as np
import pytest
from attribute_tables import attributes_of
from content_tables import encoder_of
from front_world import JSON, BrokenRecommender, World
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.errors import MissingExtraError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service import tracing as tracing_module
from gnas_serve.service.access_log import Pseudonyms
from gnas_serve.service.answer_metrics import TIMED
from gnas_serve.service.client import to_id
from gnas_serve.service.logs import JsonFormatter
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.settings import Settings
from gnas_serve.service.tracing import Tracing, check_exporter
from gnas_serve.service.trail import Trail
from gnas_serve.service.variants import Variants

KEY = b"a key of some bytes"
# "Error" for spans of servers, by the semantic conventions of OpenTelemetry for gRPC.
GRPC_ERRORS = {"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("told") / "artifact", text_ids=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    return path


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Give what the log holds, as JSON has it."""
    caplog.set_level("INFO", logger="gnas_serve")
    yield lambda: [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    logging.getLogger("gnas_serve").setLevel(logging.NOTSET)


class TestRequestIds:
    def test_grpc_gives_them_back_as_http_does(self, artifact: Path) -> None:
        world = grpc_world.World(artifact, max_in_flight=8)
        try:
            for sent, is_kept in (("req-1.A:b_c", True), ("x" * 129, False), ("a b", False), (None, False)):
                metadata = () if sent is None else (("x-request-id", sent),)
                for message in (pb.RecommendRequest(), pb.RecommendRequest(k=0)):
                    got = dict(trailing(world, message, metadata))["x-request-id"]
                    assert (got == sent) is is_kept
                    assert len(got) >= 8
        finally:
            world.close()

    def test_of_a_failed_call_they_are_in_the_log(self, artifact: Path, lines: Any) -> None:
        world = grpc_world.World(artifact, BrokenRecommender(artifact))
        try:
            trailing(world, pb.RecommendRequest(), (("x-request-id", "abc-1"),))
        finally:
            world.close()
        (line,) = lines()
        assert line["message"] == "request abc-1 failed: gRPC recommend"
        assert line["exception"]["type"] == "ZeroDivisionError"


def trailing(world: grpc_world.World, message: Any, metadata: Any) -> Any:
    try:
        _, call = world.stub.Recommend.with_call(message, metadata=metadata)
    except grpc.RpcError as error:
        return error.trailing_metadata()  # type: ignore[attr-defined]
    return call.trailing_metadata()


class TestAccessLog:
    def test_a_line_of_each_door(self, artifact: Path, key: Path, lines: Any) -> None:
        http = World(artifact, access_log=True, log_key=key)
        http.ask("GET", "/v1/users/user-0007/recommendations", headers={"x-request-id": "r-1"})
        world = grpc_world.World(artifact, access_log=True, log_key=key)
        try:
            trailing(world, pb.RecommendRequest(user_id=to_id("user-0007")), (("x-request-id", "r-2"),))
        finally:
            world.close()
        one, other = lines()
        user = Pseudonyms(KEY).of("user-0007")
        for line, door, method, code, request_id in (
            (one, "http", "recommend_user", "200", "r-1"),
            (other, "grpc", "recommend", "OK", "r-2"),
        ):
            assert (line["door"], line["method"], line["code"], line["request_id"]) == (door, method, code, request_id)
            assert (line["user"], line["logger"]) == (user, "gnas_serve.service.access_log")
            assert 0 < line["duration_ms"] < 10_000
            assert "trace_id" not in line

    def test_no_line_holds_the_id_of_a_user_or_an_item(
        self, artifact: Path, key: Path, lines: Any, tmp_path: Path
    ) -> None:
        recommender = Recommender.load(artifact)
        world = World(artifact, recommender, access_log=True, log_key=key, feedback=tmp_path / "log")
        user, item = "user-0007", "item-0003"
        asked = [
            ("recommend", {"user_id": user}),
            ("recommend", {"user_id": "user-unknown", "history": [item, "item-unknown"]}),
            ("recommend", {"user_id": "user-unknown", "strict": True}),
            ("recommend", {"user_id": user, "exclude_items": ["item-unknown"], "strict": True}),
            ("recommend", {"user_id": user, "k": "item-0003"}),
            ("recommend/batch", {"queries": [{"user_id": user}, {"user_id": user}]}),
            ("rank", {"user_id": user, "candidates": [item]}),
            ("explain", {"user_id": user, "item_id": item}),
            ("similar-items", {"item_id": item}),
            ("similar-items", {"item_id": "item-unknown"}),
            ("similar-users", {"user_id": user}),
            ("similar-users", {"user_id": "user-unknown"}),
            ("feedback", {"events": [{"event_id": "e-1", "user_id": user, "item_id": item}]}),
        ]
        for path, body in asked:
            world.post(f"/v1/{path}", body)
        world.ask("GET", f"/v1/users/{user}/recommendations?history={item}")
        broken = World(artifact, FailingRecommender(recommender), access_log=True, log_key=key)
        broken.post("/v1/recommend", {"user_id": user, "history": [item]})
        told = lines()
        text = json.dumps(told)
        assert not re.search("user-0|item-0|user-unknown|item-unknown", text)
        of_users = [line["method"] for line in told if line.get("user") == Pseudonyms(KEY).of(user)]
        assert {"recommend", "rank", "explain", "similar_users", "feedback", "recommend_user"} == set(of_users)
        assert len(told) == len(asked) + 1 + 2
        assert not any("user" in line for line in told if line.get("method") == "recommend_batch")

    def test_http_and_grpc_lines_of_many_at_once_keep_to_their_own_user(
        self, artifact: Path, key: Path, lines: Any
    ) -> None:
        world = grpc_world.World(artifact, access_log=True, log_key=key)

        def ask(row: int) -> None:
            for _ in range(5):
                message = pb.RecommendRequest(user_id=to_id(f"user-{row:04d}"))
                trailing(world, message, (("x-request-id", f"of-{row}"),))

        threads = [threading.Thread(target=ask, args=(row,)) for row in range(6)]
        try:
            for thread in threads:
                thread.start()
        finally:
            for thread in threads:
                thread.join()
            world.close()
        names = {f"of-{row}": Pseudonyms(KEY).of(f"user-{row:04d}") for row in range(6)}
        told = lines()
        assert len(told) == 30
        assert all(line["user"] == names[line["request_id"]] for line in told)


class FailingRecommender:
    """A model with a bug that quotes what it was asked."""

    def __init__(self, recommender: Recommender) -> None:
        self.info = recommender.info

    def recommend_staged(self, query: Query) -> None:
        raise KeyError(query.user_id, *query.history)


class TestTracing:
    def test_a_request_that_says_so_is_traced_in_its_trace(self, artifact: Path) -> None:
        told = asked(artifact, 0.0, {"user_id": "user-0007"}, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=b")
        (root,) = [span for span in told if span.kind is SpanKind.SERVER]
        assert (root.name, f"{root.context.trace_id:032x}") == ("recommend", TRACE)
        assert root.parent is not None
        assert (f"{root.parent.span_id:016x}", root.context.trace_state.get("a")) == (PARENT, "b")
        assert root.attributes == {
            "gnas.door": "http",
            "gnas.method": "recommend",
            "gnas.code": "200",
            "gnas.request_id": "r-1",
            "gnas.questions": 1,
            "gnas.artifact.version": "test-0",
            "gnas.source": "user",
        }
        assert root.resource.attributes["service.name"] == "gnas-serve"
        stages = [span for span in told if span is not root]
        assert [span.name for span in stages] == ["represent", "retrieve", "rank"]
        for span in stages:
            assert span.parent is not None
            assert span.parent.span_id == root.context.span_id
            assert root.start_time <= span.start_time <= span.end_time <= root.end_time  # type: ignore[operator]

    @pytest.mark.parametrize(
        ("share", "traceparent", "is_traced"),
        [
            (1.0, f"00-{TRACE}-{PARENT}-00", False),
            (0.0, "", False),
            (0.49, "", False),
            (0.51, "", True),
            (1.0, "nonsense", True),
            (1.0, f"00-{'0' * 32}-{PARENT}-00", True),
        ],
    )
    def test_the_share_is_of_requests_that_do_not_say(
        self, artifact: Path, share: float, traceparent: str, is_traced: bool
    ) -> None:
        assert bool(asked(artifact, share, {}, traceparent=traceparent)) is is_traced

    def test_stages_of_a_batch_are_those_of_its_first_questions(self, artifact: Path) -> None:
        told = asked(artifact, 1.0, {"queries": [{"k": 3, "diversity": 0.5}] * 20}, path="/v1/recommend/batch")
        assert [span.name for span in told].count("rerank") == 8
        assert told[-1].attributes is not None
        assert told[-1].attributes["gnas.questions"] == 20

    def test_a_fault_is_an_error_and_a_wrong_question_is_not(self, artifact: Path) -> None:
        (wrong,) = asked(artifact, 1.0, {"k": 0})
        assert wrong.status.status_code is StatusCode.UNSET
        (failed,) = asked(artifact, 1.0, {}, recommender=BrokenRecommender(artifact))
        assert failed.status.status_code is StatusCode.ERROR

    @pytest.mark.parametrize("code", [*grpc.StatusCode, *HTTPStatus], ids=str)
    def test_which_codes_are_errors_of_the_server(self, code: grpc.StatusCode | HTTPStatus) -> None:
        if isinstance(code, grpc.StatusCode):
            said, is_fault = code.name, code.name in GRPC_ERRORS
        else:
            said, is_fault = str(code.value), code.value >= 500
        spans = InMemorySpanExporter()
        tracing = Tracing(1.0, spans)
        tracing.tell(Trail(tracing.context("", "")), "any", "model", said, 0.001, "r-1")
        tracing.close()
        (span,) = spans.get_finished_spans()
        assert span.status.status_code is (StatusCode.ERROR if is_fault else StatusCode.UNSET)

    def test_grpc_and_the_access_log_know_the_trace(self, artifact: Path, lines: Any) -> None:
        spans = InMemorySpanExporter()
        tracing = Tracing(0.0, spans)
        world = grpc_world.World(artifact, tracing=tracing, access_log=True)
        try:
            trailing(world, pb.RecommendRequest(), (("traceparent", f"00-{TRACE}-{PARENT}-01"),))
            trailing(world, pb.RecommendRequest(), ())
        finally:
            world.close()
            tracing.close()
        roots = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
        assert [(span.name, (span.attributes or {})["gnas.code"]) for span in roots] == [("recommend", "OK")]
        assert [line.get("trace_id") for line in lines()] == [TRACE, None]


def asked(
    artifact: Path,
    share: float,
    body: object,
    *,
    path: str = "/v1/recommend",
    recommender: Any = None,
    **headers: str,
) -> list[ReadableSpan]:
    """Ask a question, and give the spans that came of it; the draw is always a half."""
    spans = InMemorySpanExporter()
    tracing = Tracing(share, spans, draw=lambda: 0.5)
    world = World(artifact, recommender, tracing=tracing)
    world.ask("POST", path, content=json.dumps(body), headers={**JSON, "x-request-id": "r-1", **headers})
    tracing.close()
    return list(spans.get_finished_spans())


class TestExporter:
    def test_without_one_a_start_that_is_to_trace_is_refused(
        self, artifact: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
        check_exporter(Settings(artifact))
        assert Tracing.of(Settings(artifact)) is None
        for refused in (check_exporter, Tracing.of):
            with pytest.raises(MissingExtraError, match="GNAS_TRACING is set"):
                refused(Settings(artifact, tracing=0.0))

    def test_a_collector_that_hangs_does_not_hold_up_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tracing_module, "_FLUSH_S", 0.1)
        is_over = threading.Event()

        class Hanging(InMemorySpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                is_over.wait(20)
                return super().export(spans)

        tracing = Tracing(1.0, Hanging())
        tracing.tell(Trail(tracing.context("", "")), "http", "model", "200", 0.001, "r-1")
        started = time.monotonic()
        tracing.close()
        assert time.monotonic() - started < 10
        is_over.set()


class TestMetrics:
    def test_stages_of_one_question_in_so_many(self, artifact: Path) -> None:
        world = World(artifact)
        for _ in range(2 * TIMED + 1):
            world.post("/v1/recommend", {"user_id": "user-0007", "diversity": 0.3})
        name = "gnas_serve_stage_duration_seconds"
        for stage, count in (("represent", 3), ("retrieve", 3), ("rank", 3), ("rerank", 3), ("filter", 0)):
            assert world.metric(f"{name}_count", stage=stage) == count
            assert (world.metric(f"{name}_sum", stage=stage) or 0) <= count

    def test_ids_that_are_unknown(self, artifact: Path) -> None:
        world = World(artifact)
        for body in (
            {"user_id": "nobody"},
            {"user_id": "user-0001", "history": ["item-0001", "no", "no"], "exclude_items": ["neither"]},
            {"candidates": ["item-0001", "nor this"]},
        ):
            assert world.post("/v1/recommend", body).status_code == 200
        world.post("/v1/rank", {"user_id": "nobody", "candidates": ["item-0001", "not this"]})
        world.post("/v1/recommend", {"user_id": "nobody", "strict": True})
        assert world.metric("gnas_serve_unknown_ids_total", kind="user") == 2
        assert world.metric("gnas_serve_unknown_ids_total", kind="item") == 5

    def test_items_that_the_catalogue_does_not_have(self, tmp_path: Path) -> None:
        attributes = attributes_of({"price": [float(row % 9) for row in range(80)]})
        world = World(write_tiny_artifact(tmp_path / "artifact", attributes=attributes, content=encoder_of))
        told = {"new-1": {"price": 3}, "new-2": {"price": 4}, "new-3": {}}
        fields = {"candidates": [2010, *told], "item_features": told}
        answers = [
            world.post("/v1/recommend", body).json()["items"]
            for body in ({"user_id": 1003, **fields}, {"k": 2, **fields}, {"user_id": 1003})
        ]
        sources = [item["source"] for items in answers for item in items]
        assert sources.count("content") > 2
        for source, count in (("content", sources.count("content")), ("unknown", 1)):
            assert world.metric("gnas_serve_unseen_items_total", source=source) == count

    def test_coverage_is_of_the_stable_models_answers(self, artifact: Path) -> None:
        world = World(artifact)
        world.calls.serve(Variants.of(world.recommender))
        assert world.metric("gnas_serve_catalogue_coverage_ratio") == 0
        first = world.post("/v1/recommend", {"user_id": "user-0001", "k": 10}).json()
        assert world.metric("gnas_serve_catalogue_coverage_ratio") == 10 / 80
        second = world.post("/v1/recommend", {"user_id": "user-0002", "k": 20}).json()
        both = {item["item_id"] for answer in (first, second) for item in answer["items"]}
        assert world.metric("gnas_serve_catalogue_coverage_ratio") == len(both) / 80
        canary = Variants.of(world.recommender, Recommender.load(artifact), weight=1.0)
        world.calls.serve(canary)
        world.post("/v1/recommend", {"user_id": "user-0003", "k": 80})
        assert world.metric("gnas_serve_catalogue_coverage_ratio") == len(both) / 80

    def test_drift_is_of_models_whose_manifest_has_scores(self, artifact: Path) -> None:
        plain = Recommender.load(artifact)
        tops = [plain.recommend(Query(plain.users.id(row), k=1)).scores[0] for row in range(60)]
        scored = Recommender.load(artifact)
        scored.manifest = replace(scored.manifest, scores=ScoreFacts.of(np.array(tops)))
        scored.info = replace(scored.info, version="other")
        world = World(artifact, plain)
        world.calls.serve(Variants.of(plain))
        assert world.metric("gnas_serve_score_drift") is None
        world.calls.serve(Variants.of(scored))
        world.post("/v1/recommend", {"user_id": "user-0001"})
        assert world.metric("gnas_serve_score_drift") == 0
        queries = [{"user_id": f"user-{row:04d}"} for row in range(60)]
        for _ in range(13):
            world.post("/v1/recommend/batch", {"queries": queries})
        calm = world.metric("gnas_serve_score_drift")
        assert calm is not None
        assert 0 < calm < 0.1
        for _ in range(13):
            world.post("/v1/recommend/batch", {"queries": [{"user_id": "user-0007"}] * 60})
        assert (world.metric("gnas_serve_score_drift") or 0) > 2 * calm + 0.1
        world.calls.serve(Variants.of(plain))
        assert math.isnan(world.metric("gnas_serve_score_drift") or 0)

    def test_a_manifest_keeps_its_scores(self, artifact: Path, tmp_path: Path) -> None:
        manifest = Manifest.read(artifact)
        assert manifest.scores is None
        assert "scores" not in manifest.to_json()
        facts = ScoreFacts(9, 0.5, 1.0, (0.0, 1.0), (0.2, 0.3, 0.5))
        replace(manifest, scores=facts).write(tmp_path)
        assert Manifest.read(tmp_path).scores == facts
