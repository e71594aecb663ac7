"""What is told of requests that come over real sockets, whichever way they go: times, access log, spans."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_door_world import LONG_WAY, Door, request
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.access_log import Pseudonyms
from gnas_serve.service.auth import digest_of, new_key
from gnas_serve.service.logs import JsonFormatter
from gnas_serve.service.tracing import Tracing

KEY = b"a key of some bytes"
PARENT = "00f067aa0ba902b7"
LABELS = {"door": "http", "method": "recommend"}
WAYS = pytest.mark.parametrize("further", [[], [LONG_WAY]], ids=["on the spot", "the long way"])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("sockets") / "artifact")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    return path


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """Give what the access log holds, as JSON has it, by request."""
    caplog.set_level("INFO", logger="gnas_serve.service.access_log")

    def told() -> dict[str, dict[str, Any]]:
        records = [record for record in caplog.records if record.name == "gnas_serve.service.access_log"]
        return {line["request_id"]: line for line in (json.loads(JsonFormatter().format(one)) for one in records)}

    yield told
    logging.getLogger("gnas_serve.service.access_log").setLevel(logging.NOTSET)


class TestTime:
    @WAYS
    @pytest.mark.parametrize("cut", [3, 40, -20], ids=["its first bytes", "half a head", "half a body"])
    def test_it_counts_from_the_first_byte(self, artifact: Path, lines: Any, further: list[bytes], cut: int) -> None:
        door = Door(artifact, access_log=True)
        sent = request(b'{"user_id": 1007, "k": 5}', b"x-request-id: r", *further)
        try:
            (answer,) = door.send(sent[:cut], sent[cut:], pause_s=0.2)
        finally:
            door.close()
        assert answer[0] == 200
        assert door.on_the_spot == (not further and cut > 0)
        # A busy door reads the first bytes some time after they were sent.
        assert 0.1 <= (door.world.metric("gnas_serve_request_duration_seconds_sum", **LABELS) or 0) < 5
        assert 100 <= lines()["r"]["duration_ms"] < 5000

    @WAYS
    def test_it_is_not_of_the_pause_before_it(self, artifact: Path, further: list[bytes]) -> None:
        door = Door(artifact)
        try:
            door.send(*[request(b"{}", *further)] * 3, pause_s=0.4, answers=3)
        finally:
            door.close()
        assert door.world.metric("gnas_serve_request_duration_seconds_count", **LABELS) == 3
        assert 0 < (door.world.metric("gnas_serve_request_duration_seconds_sum", **LABELS) or 0) < 0.4

    def test_who_sends_many_at_once_waits_for_those_before(
        self, artifact: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last of twelve has waited for eleven: so its time says."""
        door = Door(artifact)
        recommend = door.world.calls.recommend

        def slow(question: Any) -> Any:
            time.sleep(0.005)
            return recommend(question)

        monkeypatch.setattr(door.world.calls, "recommend", slow)
        try:
            door.send(request() * 12, answers=12)
        finally:
            door.close()
        assert door.world.metric("gnas_serve_request_duration_seconds_count", **LABELS) == 12
        assert (door.world.metric("gnas_serve_request_duration_seconds_sum", **LABELS) or 0) >= 0.005 * 12 * 13 / 2


class TestToldOf:
    def test_each_request_has_a_line_and_a_trace_of_its_own(self, artifact: Path, key: Path, lines: Any) -> None:
        spans = InMemorySpanExporter()
        tracing = Tracing(0.0, spans)
        door = Door(artifact, access_log=True, log_key=key, tracing=tracing)
        traced = {f"r-{user}": f"{user:032x}" for user in range(1000, 1020, 2)}  # every other one says that it is
        sent = []
        for user in range(1000, 1020):
            name = f"r-{user}"
            further = [b"x-request-id: " + name.encode()] + ([LONG_WAY] if user % 3 == 0 else [])
            if name in traced:
                further.append(f"traceparent: 00-{traced[name]}-{PARENT}-01".encode())
            sent.append(request(json.dumps({"user_id": user, "k": 3}).encode(), *further))
        try:
            answers = door.send_together(*sent)
        finally:
            door.close()
            tracing.close()
        assert [answer[0] for answer in answers] == [200] * 20
        assert door.on_the_spot == 14
        told = lines()
        assert len(told) == 20
        for user in range(1000, 1020):
            line = told[f"r-{user}"]
            assert (line["door"], line["method"], line["code"]) == ("http", "recommend", "200")
            assert line["user"] == Pseudonyms(KEY).of(user)
            assert line.get("trace_id") == traced.get(f"r-{user}")
        found = spans.get_finished_spans()
        roots = {(span.attributes or {})["gnas.request_id"]: span for span in found if span.kind is SpanKind.SERVER}
        assert {name: f"{root.context.trace_id:032x}" for name, root in roots.items()} == traced
        for root in roots.values():
            stages = [span.name for span in found if span.parent and span.parent.span_id == root.context.span_id]
            assert stages == ["represent", "retrieve", "rank"]

    @WAYS
    def test_what_a_connection_asked_before_is_not_told_again(
        self, artifact: Path, key: Path, lines: Any, tmp_path: Path, further: list[bytes]
    ) -> None:
        shop = new_key()
        (tmp_path / "keys").write_text(f"shop {digest_of(shop)}\n")
        spans = InMemorySpanExporter()
        tracing = Tracing(1.0, spans)
        door = Door(artifact, access_log=True, log_key=key, tracing=tracing, api_keys=tmp_path / "keys")
        asked = b'{"user_id": 1007, "k": 3}'
        good = request(asked, b"x-request-id: good", b"x-api-key: " + shop.encode(), *further)
        bad = request(asked, b"x-request-id: bad", b"x-api-key: wrong", *further)
        wrong = request(b'{"k": 0}', b"x-request-id: wrong", b"x-api-key: " + shop.encode(), *further)
        try:
            answers = door.send(good, bad, wrong, pause_s=0.05, answers=3)
        finally:
            door.close()
            tracing.close()
        assert [answer[0] for answer in answers] == [200, 401, 400]
        assert door.on_the_spot == (0 if further else 3)
        told = lines()
        assert {name: (line["code"], "user" in line) for name, line in told.items()} == {
            "good": ("200", True),
            "bad": ("401", False),
            "wrong": ("400", False),
        }
        assert len({line["trace_id"] for line in told.values()}) == 3
        roots = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
        assert [(root.attributes or {}).get("gnas.questions") for root in roots] == [1, None, None]
