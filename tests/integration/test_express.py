"""The express lane: the same answers, headers and refusals as the long way, for requests however they come in."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from front_world import World
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.connections import announce_close, bound_heads
from gnas_serve.service.express import Express

ASKED = json.dumps({"user_id": 1007, "k": 5}).encode()


class Door:
    """A front behind a real uvicorn, on an event loop in a thread of its own; counts what is answered on the spot."""

    def __init__(self, artifact: Path, limit_s: float = 5.0, **settings: Any) -> None:
        self.world = World(artifact, **settings)
        self.on_the_spot = 0
        front, at_once = self.world.front, self.world.front.answer_at_once

        def counted(*arguments: Any) -> None:
            self.on_the_spot += 1
            at_once(*arguments)

        front.answer_at_once = counted  # type: ignore[method-assign]
        # Loggers are left as they are: other tests look at uvicorn's.
        config = uvicorn.Config(front, port=0, log_config=None, loop="uvloop", http="httptools", lifespan="off")
        config.load()
        self.server = uvicorn.Server(config)
        bound_heads(self.server, limit_s, Express(front))
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join()

    def send(self, *pieces: bytes, pause_s: float = 0.0, answers: int = 1) -> list[tuple[int, dict[str, str], Any]]:
        """Send bytes over one connection, and read some answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
            file = connection.makefile("rb")
            return [_answer(file) for _ in range(answers)]


def _answer(file: Any) -> tuple[int, dict[str, str], Any]:
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name] = value
    return status, headers, json.loads(file.read(int(headers["content-length"])))


def request(body: bytes = ASKED, *further: bytes, path: bytes = b"/v1/recommend", method: bytes = b"POST") -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path), b"host: x", b"content-length: %d" % len(body), *further]
    return b"\r\n".join([*lines, b"", body])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("express") / "artifact")


@pytest.fixture
def door(artifact: Path) -> Iterator[Door]:
    door = Door(artifact)
    yield door
    door.close()


CHUNKED = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
LONG_WAY = b"x-forwarded-for: 127.0.0.1"  # a caller's word on where it comes from is uvicorn's to judge


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (b"/v1/recommend", ASKED, 200),
        (b"/v1/rank", b'{"user_id": 1007, "candidates": [2001, 2009, 2010]}', 200),
        (b"/v1/explain", b'{"user_id": 1007, "item_id": 2001}', 200),
        (b"/v1/recommend", b'{"k": 0}', 400),
        (b"/v1/recommend", b"{", 400),
        (b"/v1/recommend", b"", 400),
        (b"/v1/explain", b'{"item_id": 1}', 404),
    ],
)
def test_the_answers_are_those_of_the_long_way(door: Door, path: bytes, body: bytes, status: int) -> None:
    (quick,) = door.send(request(body, b"x-request-id: a-1", path=path))
    assert door.on_the_spot == 1
    (slow,) = door.send(request(body, b"x-request-id: a-1", LONG_WAY, path=path))
    assert door.on_the_spot == 1
    assert quick[0] == slow[0] == status
    assert quick[2] == slow[2]
    assert {**quick[1], "date": ""} == {**slow[1], "date": ""}
    assert quick[1]["x-request-id"] == "a-1"


@pytest.mark.parametrize(
    "pieces",
    [
        (request()[:40], request()[40:]),  # the head in two pieces
        (request()[:-20], request()[-20:]),  # the body in two pieces
        (request()[:-20], request()[-20:-10], request()[-10:]),
        (CHUNKED, b"%x\r\n" % len(ASKED) + ASKED + b"\r\n0\r\n\r\n"),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"),),
        (request(ASKED, b"connection: close"),),
        (request(ASKED, b"te: trailers", b"x-forwarded-proto: https"),),
    ],
)
def test_however_a_request_comes_in_it_is_answered(door: Door, pieces: tuple[bytes, ...]) -> None:
    (answer,) = door.send(*pieces, pause_s=0.05)
    assert answer[0] == 200
    assert len(answer[2]["items"]) == 5


def test_requests_in_one_packet_are_answered_in_their_order(door: Door) -> None:
    """Some take the long way, and those behind them have to wait for it."""
    lengths = [3, 4, 5, 6, 7, 8]
    asked = [
        request(json.dumps({"user_id": 1007, "k": k}).encode(), *([LONG_WAY] if k % 3 == 0 else [])) for k in lengths
    ]
    answers = door.send(b"".join(asked), answers=len(asked))
    assert [len(answer[2]["items"]) for answer in answers] == lengths
    again = door.send(*asked, pause_s=0.02, answers=len(asked))
    assert [len(answer[2]["items"]) for answer in again] == lengths


def test_a_caller_who_says_that_it_closes_is_closed(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request() + request(ASKED, b"connection: close"))
        assert connection.makefile("rb").read().count(b"HTTP/1.1 200 OK") == 2  # to the end of the connection


def test_while_it_drains_every_answer_ends_its_connection(door: Door) -> None:
    announce_close(door.server)
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request())
        said = connection.makefile("rb").read()
    assert b"connection: close\r\n" in said
    assert said.startswith(b"HTTP/1.1 200 OK")


def test_what_is_there_at_once_beyond_the_limit_is_refused(artifact: Path) -> None:
    door = Door(artifact, max_in_flight=4)
    try:
        answers = door.send(request() * 20, answers=20)
        statuses = [answer[0] for answer in answers]
        assert statuses[:4] == [200] * 4
        assert statuses.count(429) >= 12
        assert all(answer[1]["retry-after"] == "1" for answer in answers if answer[0] == 429)
        # In the next turn of the loop there is room again.
        assert [answer[0] for answer in door.send(request(), request(), pause_s=0.02, answers=2)] == [200, 200]
    finally:
        door.close()
    assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0
    assert door.world.metric("gnas_serve_requests_total", door="http", method="recommend", code="200") == (
        statuses.count(200) + 2
    )


def test_a_bug_answers_as_one_and_the_connection_goes_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret of /etc/passwd")

    monkeypatch.setattr(door.world.calls, "recommend", broken)
    answers = door.send(request(), request(path=b"/v1/rank", body=b'{"candidates": [2001]}'), pause_s=0.02, answers=2)
    assert [answer[0] for answer in answers] == [500, 200]
    assert "secret" not in str(answers)


def test_a_handler_that_waits_after_all_is_a_bug_and_hangs_nobody(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    async def waits(*_: Any, **__: Any) -> None:
        await asyncio.sleep(30)

    door.world.front._content = waits  # type: ignore[assignment, method-assign]
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request())
        assert connection.recv(100) == b""
    assert "waits for something" in caplog.text


def test_a_door_that_is_not_open_yet_says_so(door: Door) -> None:
    door.world.front._calls = None
    (answer,) = door.send(request())
    assert answer[0] == 503
    assert door.on_the_spot == 0


@pytest.mark.parametrize("further", [[], [LONG_WAY]], ids=["on the spot", "the long way"])
def test_callers_who_do_not_read_keep_nobody_out_and_are_let_go(artifact: Path, further: list[bytes]) -> None:
    door = Door(artifact, limit_s=3.0, max_in_flight=2)
    asked = request(json.dumps({"user_id": 1007, "k": 60, "explain": True}).encode(), *further)
    try:
        with ExitStack() as stack:
            deaf = []
            for _ in range(6):
                raw = stack.enter_context(socket.socket())
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                raw.settimeout(0.5)
                raw.connect(("127.0.0.1", door.port))
                with suppress(OSError):  # what does not go out waits, and what was closed is
                    raw.sendall(asked * 400)
                deaf.append(raw)
            deadline = time.monotonic() + 2  # they are let go later
            while door.send(request())[0][0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            deadline = time.monotonic() + 10
            while door.server.server_state.connections and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not door.server.server_state.connections
    finally:
        door.close()
    assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0


@pytest.mark.parametrize("further", [[], [LONG_WAY]], ids=["on the spot", "the long way"])
def test_empty_lines_keep_no_connection(artifact: Path, further: list[bytes]) -> None:
    door = Door(artifact, limit_s=1.0)
    try:
        with socket.create_connection(("127.0.0.1", door.port), timeout=4) as raw:
            raw.sendall(request(ASKED, *further))
            assert raw.recv(1 << 16).startswith(b"HTTP/1.1 200")
            raw.sendall(b"\r\n")
            started = time.monotonic()
            assert raw.recv(1 << 16) == b""
            assert 0.5 < time.monotonic() - started < 3
    finally:
        door.close()
