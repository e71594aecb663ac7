"""How long a connection may be silent between two requests: from its last answer on, whichever way that took."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from http_door_world import ASKED, LONG_WAY, Door, read_answer
from tiny_artifact import write_tiny_artifact

LIMIT_S = 1


def request(*fields: bytes) -> bytes:
    head = b"POST /v1/recommend HTTP/1.1", b"host: door", b"content-length: %d" % len(ASKED), *fields
    return b"\r\n".join([*head, b"", ASKED])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(write_tiny_artifact(tmp_path_factory.mktemp("silence") / "artifact"), limit_s=20.0)
    opened.server.config.timeout_keep_alive = LIMIT_S
    yield opened
    opened.close()


@pytest.mark.parametrize("fields", [(), (LONG_WAY,)], ids=["express", "long way"])
def test_it_counts_from_the_last_answer(door: Door, fields: tuple[bytes, ...]) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        file = connection.makefile("rb")
        for pause_s in (0.0, 0.6, 0.6):  # the first answer's second is over before the last request
            time.sleep(pause_s)
            connection.sendall(request(*fields))
            assert read_answer(file)[0] == 200
            answered = time.monotonic()
        assert connection.recv(1) == b""
        assert LIMIT_S - 0.05 <= time.monotonic() - answered < LIMIT_S + 1.0


def test_a_request_that_is_long_in_coming_is_none_of_it(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        file = connection.makefile("rb")
        connection.sendall(request())
        assert read_answer(file)[0] == 200
        late = request(LONG_WAY)
        connection.sendall(late[:-5])
        time.sleep(1.5 * LIMIT_S)
        connection.sendall(late[-5:])
        assert read_answer(file)[0] == 200


def test_a_closed_connection_leaves_no_timer(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request())
        assert read_answer(connection.makefile("rb"))[0] == 200
        end = door.connection_of(connection)
    deadline = time.monotonic() + 10
    while end in door.server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.01)

    async def is_cancelled() -> bool:
        return bool(end.silence_limit.cancelled())

    assert asyncio.run_coroutine_threadsafe(is_cancelled(), door.loop).result(10)
