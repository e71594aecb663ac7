"""Calls that only compute come to the gRPC door several at a time, take each step together, and none is lost."""

from __future__ import annotations

import asyncio
import importlib.metadata
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import grpc_world
import pytest
from grpc import aio
from tiny_artifact import write_tiny_artifact

from gnas_serve.service import grpc_calls
from gnas_serve.service.cohort import MOST
from gnas_serve.service.grpc_lanes import TRIED, Lanes
from gnas_serve.service.item_lists import list_response
from gnas_serve.service.proto import recommender_pb2 as pb

SETTLED_S = 0.5  # what a channel sent is by then at the door


@pytest.fixture
def world(tmp_path: Path) -> Iterator[grpc_world.World]:
    opened = grpc_world.World(write_tiny_artifact(tmp_path / "artifact"))
    opened.stub.GetModel(pb.GetModelRequest())  # the channel is connected
    yield opened
    opened.close()


def test_the_release_that_is_pinned_was_tried() -> None:
    assert importlib.metadata.version("grpcio").startswith(TRIED)
    assert Lanes.are_possible()


def turns_of_beginning(world: grpc_world.World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Send calls while the loop is held, and say in which of its turns after that each began."""
    turn = 0
    began: list[int] = []

    async def count() -> None:
        nonlocal turn
        while len(began) < MOST:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(grpc_calls, "request_id_of", lambda _sent: began.append(turn) or b"x")
    with grpc_world.Held(world.loop):
        counting = asyncio.run_coroutine_threadsafe(count(), world.loop)
        calls = [world.stub.Recommend.future(pb.RecommendRequest(k=1)) for _ in range(MOST)]
        time.sleep(SETTLED_S)
    for call in calls:
        call.result(20)
    counting.result(20)
    return began


def test_those_who_came_meanwhile_begin_in_one_turn(world: grpc_world.World, monkeypatch: pytest.MonkeyPatch) -> None:
    began = turns_of_beginning(world, monkeypatch)
    assert len(set(began)) <= MOST // 2, began


def test_they_take_each_step_together(world: grpc_world.World, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    answer = world.calls.recommend

    def answered(request: Any) -> Any:
        steps.append("answered")
        return answer(request)

    def laid_out(*found: Any, **how: Any) -> bytes:
        steps.append("laid out")
        return list_response(*found, **how)

    monkeypatch.setattr(world.calls, "recommend", answered)
    monkeypatch.setattr(grpc_calls, "list_response", laid_out)
    with grpc_world.Held(world.loop):
        calls = [world.stub.Recommend.future(pb.RecommendRequest(k=1)) for _ in range(MOST)]
        time.sleep(SETTLED_S)
    assert [len(call.result(20).items) for call in calls] == [1] * MOST
    assert sorted(steps) == ["answered"] * MOST + ["laid out"] * MOST
    changes = sum(before != after for before, after in pairwise(steps))
    assert changes < MOST, steps  # answered and laid out one by one, there are twice as many


def test_a_stop_leaves_none_of_those_that_came(world: grpc_world.World) -> None:
    with grpc_world.Held(world.loop):
        calls = [world.stub.Recommend.future(pb.RecommendRequest(k=1)) for _ in range(MOST)]
        time.sleep(SETTLED_S)
        closing = asyncio.run_coroutine_threadsafe(world.door.close(), world.loop)
    assert [len(call.result(20).items) for call in calls] == [1] * MOST
    closing.result(20)


def test_who_leaves_takes_no_place(tmp_path: Path) -> None:
    # One place: whoever left and kept it would leave none.
    world = grpc_world.World(write_tiny_artifact(tmp_path / "artifact"), max_in_flight=1)
    try:
        world.stub.GetModel(pb.GetModelRequest())  # the channel is connected
        leave_and_ask(world)
    finally:
        world.close()


def leave_and_ask(world: grpc_world.World) -> None:
    with grpc_world.Held(world.loop):
        leaving = [world.stub.Recommend.future(pb.RecommendRequest(k=1)) for _ in range(3 * MOST)]
        time.sleep(SETTLED_S)
        for call in leaving:
            call.cancel()
        time.sleep(SETTLED_S)
    assert soon_answered(world, 20.0)


def soon_answered(world: grpc_world.World, within_s: float) -> bool:
    """Ask until there is an answer: those who left are still on their way out."""
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        with suppress(grpc.RpcError):
            return len(world.stub.Recommend(pb.RecommendRequest(k=2)).items) == 2
    return False


def test_with_another_release_calls_are_answered_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "__version__", "2.0.0")
    world = grpc_world.World(write_tiny_artifact(tmp_path / "artifact"))
    try:
        world.stub.GetModel(pb.GetModelRequest())  # the channel is connected
        began = turns_of_beginning(world, monkeypatch)
        assert len(set(began)) > MOST // 2, began
    finally:
        world.close()


def test_those_who_send_no_message_keep_nobody_out(tmp_path: Path) -> None:
    world = grpc_world.World(write_tiny_artifact(tmp_path / "artifact"), max_in_flight=2, timeout_s=20.0)
    may_end = threading.Event()

    def nothing() -> Iterator[bytes]:
        may_end.wait(20)
        yield from ()

    try:
        silent = world.channel.stream_unary("/gnas.serve.v1.Recommender/Recommend")
        waiting = [silent.future(nothing()) for _ in range(12)]
        assert soon_answered(world, 5.0)
        codes = [call.code() for call in waiting if call.done()]
        assert codes
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert soon_answered(world, 5.0)
    finally:
        may_end.set()
        for call in waiting:
            call.cancel()
        world.close()


def test_beyond_their_number_calls_are_refused_before_they_are_read() -> None:
    counted: list[tuple[str, grpc.StatusCode]] = []

    async def answers() -> list[bytes | grpc.StatusCode]:
        is_read, may_answer = asyncio.Event(), asyncio.Event()

        async def behaviour(raw: bytes, _context: Any) -> bytes:
            is_read.set()
            await may_answer.wait()
            return raw

        say_handler = grpc.unary_unary_rpc_method_handler(behaviour, None, None)
        lanes = Lanes(
            {"/a.Service/Say": say_handler},
            {},
            most=1,
            most_beside=1,
            message_s=20.0,
            count=lambda path, status, _after_s, _id: counted.append((path, status)),
        )
        server = lanes.server(())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        lanes.open(server)
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:

            async def say(raw: bytes) -> bytes | grpc.StatusCode:
                try:
                    return await channel.unary_unary("/a.Service/Say")(raw, timeout=20)
                except aio.AioRpcError as error:
                    return error.code()

            held = asyncio.ensure_future(say(b"held"))
            await is_read.wait()
            refused = [await say(b"refused") for _ in range(3)]
            may_answer.set()
            found = [await held, *refused, await say(b"later")]
        await server.stop(None)
        return found

    assert asyncio.run(answers()) == [b"held", *[grpc.StatusCode.RESOURCE_EXHAUSTED] * 3, b"later"]
    assert counted == [("/a.Service/Say", grpc.StatusCode.RESOURCE_EXHAUSTED)] * 3
