"""What the gRPC door refuses before any handler: with a code and an id, counted, and health is asked past the load."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc_world
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tiny_artifact import write_tiny_artifact

from gnas_serve.service import grpc_lanes
from gnas_serve.service.errors import CODE_KEY
from gnas_serve.service.grpc_calls import SERVICE
from gnas_serve.service.grpc_messages_due import MessagesDue
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.request_ids import HEADER

MAX_IN_FLIGHT = 2
PLACES = 2 * MAX_IN_FLIGHT
WAIT_S = 20.0


class Silent:
    """Calls whose message is not sent until they are to go on."""

    def __init__(self, world: grpc_world.World, count: int, *, request_id: str = "") -> None:
        self._may_go_on = threading.Event()
        call = world.channel.stream_unary(f"/{SERVICE}/Recommend", pb.RecommendRequest.SerializeToString)
        metadata = ((HEADER, request_id),) if request_id else ()
        self.calls = [call.future(self._message(), metadata=metadata) for _ in range(count)]

    def _message(self) -> Iterator[pb.RecommendRequest]:
        self._may_go_on.wait(WAIT_S)
        yield pb.RecommendRequest(k=1)

    def go_on(self) -> None:
        self._may_go_on.set()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_tiny_artifact(tmp_path / "artifact")


@pytest.fixture
def world(artifact: Path) -> Iterator[grpc_world.World]:
    opened = grpc_world.World(artifact, max_in_flight=MAX_IN_FLIGHT, timeout_s=WAIT_S)
    opened.stub.GetModel(pb.GetModelRequest())  # the channel is connected
    yield opened
    opened.close()


def refused_with(call: Any) -> tuple[grpc.StatusCode, str, str]:
    assert isinstance(call.exception(WAIT_S), grpc.RpcError)
    trailing = dict(call.trailing_metadata())
    return call.code(), trailing[CODE_KEY], trailing[HEADER]


def counted(world: grpc_world.World, code: str) -> float:
    world.telemetry.hand_on()
    labels = {"door": "grpc", "method": "recommend", "code": code}
    return world.registry.get_sample_value("gnas_serve_requests_total", labels) or 0.0


def filled(world: grpc_world.World) -> Silent:
    """Take all places, and wait until they are taken."""
    silent = Silent(world, PLACES)
    deadline = time.monotonic() + WAIT_S
    while world.door._lanes._places.is_one_left():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return silent


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends no message gives way to nobody."""
    monkeypatch.setattr(grpc_lanes, "PATIENT_S", WAIT_S)


def is_full(world: grpc_world.World) -> bool:
    try:
        world.stub.Recommend(pb.RecommendRequest(k=1))
    except grpc.RpcError:
        return True
    return False


@pytest.mark.usefixtures("patient")
def test_one_too_many_is_told_so_by_a_code_and_its_id_and_counted(world: grpc_world.World) -> None:
    silent = filled(world)
    before = counted(world, "RESOURCE_EXHAUSTED")
    try:
        call = world.stub.Recommend.future(pb.RecommendRequest(k=1), metadata=((HEADER, "mine-1"),))
        assert refused_with(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", "mine-1")
    finally:
        silent.go_on()
    assert counted(world, "RESOURCE_EXHAUSTED") == before + 1
    assert [call.exception(WAIT_S) for call in silent.calls].count(None) >= MAX_IN_FLIGHT  # who sends on is answered
    deadline = time.monotonic() + WAIT_S
    while is_full(world):  # callers have their answers before the last places are free
        assert time.monotonic() < deadline


@pytest.mark.usefixtures("patient")
def test_whoever_asks_for_health_is_none_of_the_load(world: grpc_world.World) -> None:
    silent = filled(world)
    try:
        health = health_pb2_grpc.HealthStub(world.channel)
        for _ in range(3 * PLACES):
            assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        assert is_full(world)
    finally:
        silent.go_on()


def test_a_message_that_does_not_come_is_counted(artifact: Path) -> None:
    world = grpc_world.World(artifact, timeout_s=0.3)
    silent = Silent(world, 3, request_id="mine-2")
    try:
        for call in silent.calls:
            assert refused_with(call) == (grpc.StatusCode.DEADLINE_EXCEEDED, "request_timeout", "mine-2")
    finally:
        silent.go_on()
        world.close()
    assert counted(world, "DEADLINE_EXCEEDED") == 3
    labels = {"door": "grpc", "method": "recommend"}
    assert (world.registry.get_sample_value("gnas_serve_request_duration_seconds_sum", labels) or 0) >= 3 * 0.3
    assert world.registry.get_sample_value("gnas_serve_in_flight_requests", {"door": "grpc"}) == 0


def test_a_lane_that_a_fault_ended_begins_again(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One of health, which has a single lane: else nobody would notice before the last."""
    real, faults = MessagesDue.taken, [ZeroDivisionError("a fault")]

    def taken(self: MessagesDue, path: str, handler: Any) -> Any:
        work = real(self, path, handler)

        def faulty(state: Any, loop: Any) -> Any:
            if faults and path.endswith("/Check"):
                raise faults.pop()
            return work(state, loop)

        return faulty

    monkeypatch.setattr(MessagesDue, "taken", taken)
    world = grpc_world.World(artifact)
    try:
        health = health_pb2_grpc.HealthStub(world.channel)
        with pytest.raises(grpc.RpcError):  # nobody answers it
            health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S).status == 1
    finally:
        world.close()
    assert faults == []
    assert "a lane of the gRPC door ended, and begins again" in caplog.text
