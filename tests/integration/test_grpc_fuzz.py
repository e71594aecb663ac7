"""Thousands of malformed messages at the gRPC door, and what is no gRPC at its socket.

``tests/bench/grpc_fuzz.py`` sends as many as one likes to a server of its own, and watches its memory.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from attribute_tables import attributes_of, random_table
from content_tables import encoder_of
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_nonsense import DEADLINE_S, HONEST, Nonsense, put
from grpc_world import Held, World
from leaks import leak_of
from segment_tables import FACTS, random_segments
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.client import recommend, to_id
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.streams import MAX_STREAMS

MESSAGES = 2000
RECOMMEND = "/gnas.serve.v1.Recommender/Recommend"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    attributes = attributes_of(random_table(random.Random(0), 80) | {"price": [float(row) for row in range(80)]})
    segments = (FACTS, random_segments(80))
    folder = tmp_path_factory.mktemp("fuzz") / "artifact"
    made = World(write_tiny_artifact(folder, attributes=attributes, segments=segments, content=encoder_of))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def goes_on(world: World) -> Iterator[None]:
    yield
    assert len(recommend(world.target, user_id=1007, k=5)["items"]) == 5


def test_malformed_messages_are_refused_for_what_they_are(world: World) -> None:
    nonsense = Nonsense(0)
    put(world.channel, nonsense.messages(500))
    before = psutil.Process().memory_info().rss
    statuses, wrong = put(world.channel, nonsense.messages(MESSAGES - 500))
    assert wrong == []
    assert psutil.Process().memory_info().rss - before < 48 << 20  # client and server in one process
    by_status = {code: sum(count for (_, one), count in statuses.items() if one == code) for code in HONEST}
    # The draw reaches what it is for: answers, refusals by every rule, methods that are not there.
    assert all(by_status[code] for code in HONEST - {"FAILED_PRECONDITION"}), statuses
    assert by_status["INVALID_ARGUMENT"] > MESSAGES // 4


@pytest.mark.parametrize("path", [RECOMMEND, WATCH, REFLECTION])
@pytest.mark.parametrize("count", [2, 50])
def test_another_number_of_messages_than_one(world: World, path: str, count: int) -> None:
    rng = random.Random(count)
    call = world.channel.stream_stream(path)(iter([rng.randbytes(40) for _ in range(count)]), timeout=DEADLINE_S)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    assert call.code().name in HONEST | {"CANCELLED"}, (call.code(), call.details())
    assert leak_of(call.details() or "") is None


def test_a_message_that_unpacks_to_far_more_is_refused(world: World) -> None:
    for path in (RECOMMEND, "/grpc.health.v1.Health/Check"):
        ask = world.channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as raised:
            ask(b"\x00" * (32 << 20), timeout=DEADLINE_S, compression=grpc.Compression.Gzip)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_metadata_of_all_kinds(world: World) -> None:
    ask = world.channel.unary_unary(RECOMMEND)
    for metadata in (
        [("x-request-id", "x" * 4000)],
        [("authorization", "Bearer " + "." * 4000)],
        [("a-bin", bytes(range(256)))],
        [("x", "y")] * 100,
        [("grpc-timeout-x", "1S"), ("te", "nothing")],
        [("x", "y" * 100_000)],
    ):
        try:
            ask(b"", metadata=metadata, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            assert error.code().name in HONEST, (metadata[0][0], error.code(), error.details())  # noqa: PT017
            assert leak_of(error.details() or "") is None  # noqa: PT017


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(fields: dict[bytes, bytes], stream: int = 1, flags: int = 0x4) -> bytes:
    """Write headers in HPACK's plainest form: literal, without an index, without Huffman's code."""
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields.items()
    )
    return frame(1, flags, stream, block)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame(4, 0, 0, b"")
CALL = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": RECOMMEND.encode(),
    b":authority": b"x",
    b"te": b"trailers",
    b"content-type": b"application/grpc",
}
MESSAGE = frame(0, 1, 1, b"\x00\x00\x00\x00\x00")
RAW = {
    "nothing of HTTP/2": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "no settings": PREFACE + headers(CALL) + MESSAGE,
    "another content type": PREFACE + SETTINGS + headers(CALL | {b"content-type": b"application/json"}) + MESSAGE,
    "no content type": PREFACE + SETTINGS + headers({k: v for k, v in CALL.items() if k != b"content-type"}) + MESSAGE,
    "a question by GET": PREFACE + SETTINGS + headers(CALL | {b":method": b"GET"}) + MESSAGE,
    "no path": PREFACE + SETTINGS + headers({k: v for k, v in CALL.items() if k != b":path"}) + MESSAGE,
    "a message shorter than it says": PREFACE + SETTINGS + headers(CALL) + frame(0, 1, 1, b"\x00\x00\x00\xff\xffabc"),
    "a message of a length that cannot be": PREFACE
    + SETTINGS
    + headers(CALL)
    + frame(0, 1, 1, b"\x00\xff\xff\xff\xff"),
    "no message": PREFACE + SETTINGS + headers(CALL) + frame(0, 1, 1, b""),
    "a flag that is none": PREFACE + SETTINGS + headers(CALL) + frame(0, 1, 1, b"\x07\x00\x00\x00\x00"),
    "a frame beyond its size": PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    "data on no stream": PREFACE + SETTINGS + frame(0, 1, 0, b"abc"),
    "data before headers": PREFACE + SETTINGS + MESSAGE,
    "headers that are none": PREFACE + SETTINGS + frame(1, 5, 1, b"\xff" * 200),
    "a window beyond its end": PREFACE + SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3,
    "a window of nothing": PREFACE + SETTINGS + headers(CALL) + frame(8, 0, 1, b"\x00\x00\x00\x00"),
    "settings of another length": PREFACE + frame(4, 0, 0, b"abc"),
    "a stream of the server's": PREFACE + SETTINGS + headers(CALL, stream=2) + MESSAGE,
    "pings": PREFACE + SETTINGS + frame(6, 0, 0, b"12345678") * 2000,
    "streams begun and reset": PREFACE
    + SETTINGS
    + b"".join(
        headers(CALL, stream=2 * n + 1) + frame(3, 0, 2 * n + 1, b"\x00\x00\x00\x08") for n in range(500)
    ),  # fewer than gRPC lets wait: beyond, it refuses others as well until they are gone
    "a head without an end": PREFACE
    + SETTINGS
    + headers(CALL, flags=0)
    + frame(9, 0, 1, b"\x00\x01a\x7f" + b"b" * 127) * 500,
}


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW.keys())
def test_what_is_no_grpc(world: World, sent: bytes) -> None:
    received = _exchange(world, sent)
    assert received is None or leak_of(received.decode("latin-1")) is None


NO_TEXT = PREFACE + SETTINGS + headers(CALL | {b":path": b"/\xb4"}) + MESSAGE


@pytest.fixture(params=["tried", "another"])
def of_release(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[World, bytes]]:
    """Open a door with lanes, and one whose calls grpcio takes itself; give it and what it says of a wrong path."""
    if request.param == "another":
        monkeypatch.setattr(grpc, "__version__", "2.0.0")
    world = World(write_tiny_artifact(tmp_path / "artifact"))
    world.stub.Recommend(pb.RecommendRequest(k=3))  # the channel is connected
    # What has not been taken in yet is cancelled with the call that nobody can read.
    yield world, b"Method not found!" if request.param == "tried" else b"CANCELLED"
    world.close()


def test_a_path_that_is_no_text_does_not_close_the_door(of_release: tuple[World, bytes]) -> None:
    # At such a call the library's own server ends; others go on to be answered, those in flight and those to come.
    world, said = of_release
    batch = pb.RecommendBatchRequest(queries=[pb.RecommendRequest(user_id=to_id(1007), k=50)] * 256)
    for number in range(10):
        slow = world.stub.RecommendBatch.future(batch, timeout=DEADLINE_S)
        time.sleep(0.01)  # it is taken in
        assert said in _exchange(world, NO_TEXT), number
        assert len(recommend(world.target, user_id=1007, k=5)["items"]) == 5
        assert len(world.stub.Recommend(pb.RecommendRequest(k=3), timeout=DEADLINE_S).items) == 3
        assert len(slow.result().results) == 256


def test_a_path_that_is_no_text_does_not_hold_up_a_stop(of_release: tuple[World, bytes]) -> None:
    world, said = of_release
    with Held(world.loop):
        _exchange(world, NO_TEXT)
        after = world.stub.GetModel.future(pb.GetModelRequest())
        time.sleep(0.2)  # it is there
        closing = asyncio.run_coroutine_threadsafe(world.door.close(), world.loop)
    closing.result(20)
    assert said == b"CANCELLED" or after.result(20).name == world.recommender.info.name


@pytest.mark.parametrize("ends", [True, False])
def test_calls_without_a_message_are_told_so_and_keep_nobody_out(tmp_path: Path, ends: bool) -> None:
    world = World(write_tiny_artifact(tmp_path / "artifact"), max_in_flight=1, timeout_s=0.5)
    many = 2 * 1 + MAX_STREAMS  # as many as there is room for
    host, _, port = world.target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            for path in (RECOMMEND, "/grpc.health.v1.Health/Check"):
                fields = CALL | {b":path": path.encode()}
                first = 1 if path == RECOMMEND else 2 * many + 1
                sent = [headers(fields, first + 2 * number, 0x5 if ends else 0x4) for number in range(many)]
                raw.sendall((PREFACE + SETTINGS if path == RECOMMEND else b"") + b"".join(sent))
                time.sleep(1.5)  # three times as long as a message may take
                assert len(world.stub.Recommend(pb.RecommendRequest(k=3), timeout=DEADLINE_S).items) == 3
                asked = health_pb2.HealthCheckRequest()
                assert health_pb2_grpc.HealthStub(world.channel).Check(asked, timeout=DEADLINE_S).status == 1
            said = raw.recv(1 << 22)
        assert (b"invalid_message" if ends else b"request_timeout") in said
    finally:
        world.close()


def test_noise_at_the_socket(world: World) -> None:
    rng = random.Random(3)
    whole = PREFACE + SETTINGS + headers(CALL) + MESSAGE
    for number in range(200):
        changed = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(24, len(changed))] = rng.randrange(256)
        received = _exchange(world, rng.randbytes(200) if number % 4 == 0 else bytes(changed), 0.02)
        assert leak_of(received.decode("latin-1")) is None


def _exchange(world: World, sent: bytes, limit_s: float = 0.15) -> bytes:
    host, _, port = world.target.rpartition(":")
    found = b""
    with socket.create_connection((host, int(port)), timeout=limit_s) as raw:
        try:
            raw.sendall(sent)
            while part := raw.recv(1 << 16):
                found += part
        except (ConnectionError, TimeoutError):
            pass
    return found
