"""The express lane: the same answers, headers and refusals as the long way, for requests however they come in."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from http_door_world import ASKED, LONG_WAY, Door, read_answer, request
from tiny_artifact import write_tiny_artifact

from gnas_serve.service import express, routes
from gnas_serve.service.auth import digest_of, new_key
from gnas_serve.service.calls import Calls
from gnas_serve.service.connections import announce_close
from gnas_serve.service.routes import ROUTES, Route, answered_on_the_spot


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("express") / "artifact")


@pytest.fixture
def door(artifact: Path) -> Iterator[Door]:
    door = Door(artifact)
    yield door
    door.close()


LONG_ANSWER = json.dumps({"user_id": 1007, "k": 60, "explain": True}).encode()
CHUNKED = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


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
        answers = door.send_together(*[request()] * 20)
        statuses = sorted(answer[0] for answer in answers)
        assert statuses == [200] * 4 + [429] * 16
        assert all(answer[1]["retry-after"] == "1" for answer in answers if answer[0] == 429)
        assert door.on_the_spot == 20
        # In the next turn of the loop there is room again.
        assert [answer[0] for answer in door.send(request(), request(), pause_s=0.02, answers=2)] == [200, 200]
    finally:
        door.close()
    assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0
    assert door.world.metric("gnas_serve_requests_total", door="http", method="recommend", code="200") == 6


def test_a_caller_who_sends_many_at_once_waits_for_its_turns(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is in flight at a time, so that none is too many, and others are answered in between."""
    door = Door(artifact, max_in_flight=2)
    asked: list[int | str | None] = []
    recommend = door.world.calls.recommend

    def noted(question: Any) -> Any:
        asked.append(question.user_id)
        return recommend(question)

    monkeypatch.setattr(door.world.calls, "recommend", noted)
    try:
        assert [answer[0] for answer in door.send(request() * 40, answers=40)] == [200] * 40
        assert door.on_the_spot == 1
        asked.clear()
        many, other = door.send_together(request() * 40, request(b'{"user_id": 1008}'))
        assert (many[0], other[0]) == (200, 200)
        assert asked.index(1008) <= 2
    finally:
        door.close()


@pytest.mark.parametrize(("settings", "status"), [({}, 401), ({"rate_per_s": 0.01, "rate_burst": 1}, 429)])
def test_who_is_refused_takes_nobodys_place(
    artifact: Path, tmp_path: Path, settings: dict[str, float], status: int
) -> None:
    shop, noisy = new_key(), new_key()
    keys = tmp_path / "keys"
    keys.write_text(f"shop {digest_of(shop)}\n" + (f"noisy {digest_of(noisy)}\n" if settings else ""))
    door = Door(artifact, max_in_flight=4, api_keys=keys, **settings)
    of_noisy = request(ASKED, b"x-api-key: " + noisy.encode())
    try:
        door.send(of_noisy)  # which is the one that it may
        answers = door.send_together(*[of_noisy] * 20, request(ASKED, b"x-api-key: " + shop.encode()))
        assert [answer[0] for answer in answers] == [status] * 20 + [200]
        assert door.on_the_spot == 22
    finally:
        door.close()


def test_a_bug_answers_as_one_and_the_connection_goes_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret of /etc/passwd")

    monkeypatch.setattr(door.world.calls, "recommend", broken)
    answers = door.send(request(), request(path=b"/v1/rank", body=b'{"candidates": [2001]}'), pause_s=0.02, answers=2)
    assert [answer[0] for answer in answers] == [500, 200]
    assert "secret" not in str(answers)


class TestWhatWaits:
    @pytest.mark.parametrize(("wait_s", "status"), [(0.0, 200), (0.05, 200), (30.0, 504)])
    def test_it_goes_the_long_way(
        self, artifact: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float, status: int
    ) -> None:
        async def waits(_calls: Calls, _question: None) -> float:
            await asyncio.sleep(wait_s)
            return wait_s

        route = Route("/v1/recommend", "POST", "recommend", lambda _: None, waits, lambda _, found: {"waited_s": found})
        monkeypatch.setitem(routes._FIXED, route.path, (route,))
        monkeypatch.setattr(express, "ON_THE_SPOT", answered_on_the_spot([route]))
        door = Door(artifact, timeout_s=0.5)
        try:
            (answer,) = door.send(request())
        finally:
            door.close()
        assert (answer[0], door.on_the_spot) == (status, 0)
        if status == 200:
            assert answer[2] == {"waited_s": wait_s}

    def test_only_plain_functions_are_immediate(self) -> None:
        assert set(routes.ON_THE_SPOT) == {b"/v1/explain", b"/v1/rank", b"/v1/recommend"}
        assert all(route.is_immediate != inspect.iscoroutinefunction(route.answer) for route in ROUTES)

    def test_of_what_else_can_be_called_it_cannot_be_told(self) -> None:
        class Waits:
            async def __call__(self, _calls: Calls, _question: None) -> int:
                return 1

        async def pieces(_calls: Calls, _question: None) -> AsyncIterator[int]:
            yield 1

        for answer in (Waits(), partial(Waits().__call__), pieces):
            with pytest.raises(TypeError, match="what answers /v1/x is neither"):
                Route("/v1/x", "POST", "x", lambda _: None, answer, lambda _, found: {"is": found})


def test_a_bug_of_the_door_itself_ends_the_connection_and_no_other(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(door.world.telemetry, "began", broken)
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request())
        assert connection.recv(100) == b""
    assert "a request was not answered" in caplog.text
    monkeypatch.undo()
    assert door.send(request())[0][0] == 200


def test_a_door_that_is_not_open_yet_says_so(door: Door) -> None:
    door.world.front._calls = None
    (answer,) = door.send(request())
    assert answer[0] == 503
    assert door.on_the_spot == 0


@pytest.mark.parametrize("is_paused", [True, False])
def test_while_answers_wait_for_their_reader_no_others_are_made(artifact: Path, is_paused: bool) -> None:
    """Else a caller who sends and never reads fills the memory, one answer after the other."""
    door = Door(artifact, max_in_flight=1000)
    door.hold_little()
    size = len(json.dumps(door.send(request(LONG_ANSWER))[0][2]))
    assert size > 30_000  # so that a few of them are more than a connection holds
    door.on_the_spot = 0
    try:
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(10)
            raw.connect(("127.0.0.1", door.port))
            file, connection = raw.makefile("rb"), door.connection_of(raw)
            for _ in range(20):
                read_at = connection.read_at
                raw.sendall(request(LONG_ANSWER))
                while connection.read_at == read_at and not connection.flow.read_paused:
                    time.sleep(0.001)
                if not is_paused:
                    assert read_answer(file)[0] == 200
            if is_paused:
                assert 2 <= door.on_the_spot <= 6
                assert connection.transport.get_write_buffer_size() < 6 * size
                assert [read_answer(file)[0] for _ in range(20)] == [200] * 20
                raw.sendall(request())
                assert read_answer(file)[0] == 200
            else:
                assert door.on_the_spot == 20
    finally:
        door.close()


@pytest.mark.parametrize("further", [[], [LONG_WAY]], ids=["on the spot", "the long way"])
def test_callers_who_do_not_read_keep_nobody_out_and_are_let_go(artifact: Path, further: list[bytes]) -> None:
    door = Door(artifact, limit_s=3.0, max_in_flight=2)
    asked = request(LONG_ANSWER, *further)
    door.hold_little()
    try:
        with ExitStack() as stack:
            deaf = []
            for _ in range(6):
                raw = stack.enter_context(socket.socket())
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                raw.settimeout(0.5)
                raw.connect(("127.0.0.1", door.port))
                with suppress(OSError):  # what does not go out waits, and what was closed is
                    raw.sendall(asked * 50)
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


class TestBetweenTheSteps:
    """Of a request that was read, and is to be answered at the end of the turn."""

    @pytest.fixture
    def after_reading(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Have the loop do something with the connections once it has read a request, before it answers."""
        take_in = door.world.front.take_in

        def arrange(what: Any) -> None:
            def read(*arguments: Any) -> Any:
                for connection in door.server.server_state.connections:
                    door.loop.call_soon(what, connection)
                return take_in(*arguments)

            monkeypatch.setattr(door.world.front, "take_in", read)

        return arrange

    def test_a_door_that_closes_answers_first(self, door: Door, after_reading: Any) -> None:
        after_reading(lambda connection: connection.shutdown())
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as raw:
            raw.sendall(request())
            said = raw.makefile("rb").read()  # to the end of the connection
        assert said.startswith(b"HTTP/1.1 200 OK")
        assert said.count(b"connection: close\r\n") == 1

    def test_who_leaves_is_not_answered(self, door: Door, after_reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        monkeypatch.setattr(door.world.calls, "recommend", asked.append)
        after_reading(lambda connection: connection.transport.abort())
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as raw:
            raw.sendall(request())
            with suppress(ConnectionResetError):
                assert raw.recv(100) == b""
        assert asked == []
        labels = {"door": "http", "method": "recommend", "code": "499"}
        assert door.world.metric("gnas_serve_requests_total", **labels) == 1
        assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0

    def test_an_answer_that_cannot_be_laid_out_is_a_bug_of_that_request_alone(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recommend = door.world.calls.recommend

        def nothing(_asked: Any) -> Any:
            yield "represent"
            return None

        monkeypatch.setattr(
            door.world.calls, "recommend", lambda asked: (nothing if asked.user_id == 1008 else recommend)(asked)
        )
        answers = door.send_together(request(), request(b'{"user_id": 1008}'), request())
        assert [answer[0] for answer in answers] == [200, 500, 200]
        assert door.on_the_spot == 3

    def test_what_is_no_http_is_told_so_after_it(self, door: Door) -> None:
        good, bad = door.send(request() + b"GARBAGE \x00\r\n\r\n", answers=2)
        assert (good[0], bad[0]) == (200, 400)
        assert bad[2]["code"] == "invalid_http"

    def test_no_more_is_read_of_who_has_sent_on(self, door: Door, after_reading: Any) -> None:
        paused = []
        after_reading(lambda connection: paused.append(connection.flow.read_paused))
        assert [answer[0] for answer in door.send(request() + request(ASKED, LONG_WAY), answers=2)] == [200, 200]
        assert paused[0]

    def test_a_refused_one_waits_as_well(self, door: Door) -> None:
        """Else all that a caller sends at once would be refused in one turn, and others would wait for it."""
        assert [answer[0] for answer in door.send(request(b"") * 40, answers=40)] == [400] * 40
        assert door.on_the_spot == 1

    def test_the_limit_on_silence_is_not_of_the_next_request(self, artifact: Path) -> None:
        door = Door(artifact, limit_s=5.0, timeout_s=5.0)
        door.server.config.timeout_keep_alive = 1
        late = request(ASKED, LONG_WAY)
        try:
            answers = door.send(request(b"") + late[:-10], late[-10:], pause_s=1.5, answers=2)
        finally:
            door.close()
        assert [answer[0] for answer in answers] == [400, 200]

    def test_who_was_answered_may_be_silent(self, artifact: Path) -> None:
        door = Door(artifact, limit_s=0.5)
        try:
            assert [answer[0] for answer in door.send(request(), request(), pause_s=1.0, answers=2)] == [200, 200]
        finally:
            door.close()

    def test_an_answer_that_cannot_be_written_takes_up_no_place(
        self, artifact: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any) -> None:
            raise ZeroDivisionError

        door = Door(artifact, max_in_flight=2)
        monkeypatch.setattr(express, "_write", broken)
        try:
            for _ in range(4):
                with socket.create_connection(("127.0.0.1", door.port), timeout=10) as raw:
                    raw.sendall(request())
                    assert raw.recv(100) == b""
            monkeypatch.undo()
            assert door.send(request())[0][0] == 200
        finally:
            door.close()
        assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0

    def test_what_stops_one_stops_none_of_the_others(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        recommend = door.world.calls.recommend

        def stops(question: Any) -> Any:
            if question.user_id == 1008:
                raise asyncio.CancelledError
            return recommend(question)

        monkeypatch.setattr(door.world.calls, "recommend", stops)
        answers = door.send_together(request(), request(b'{"user_id": 1008}'), request())
        assert [answer[0] for answer in answers] == [200, 500, 200]
        monkeypatch.undo()
        assert door.send(request())[0][0] == 200
        assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0
