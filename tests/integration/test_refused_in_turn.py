"""What is no request is refused after all that came before it is answered, and in no other's place."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from http_door_world import ASKED, LONG_WAY, Door, read_answer, request
from tiny_artifact import write_tiny_artifact

GARBAGE = b"\x00\x01 no request\r\n\r\n"
ON_THE_SPOT, SLOW = request(), request(ASKED, LONG_WAY)
MODEL = b"GET /v1/model HTTP/1.1\r\nhost: x\r\n\r\n"
BROKEN = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(write_tiny_artifact(tmp_path_factory.mktemp("turns") / "artifact"), limit_s=20.0)
    yield opened
    opened.close()


@pytest.mark.parametrize("no_request", [GARBAGE, BROKEN], ids=["no head", "no body"])
@pytest.mark.parametrize(
    "before",
    [[], [ON_THE_SPOT], [SLOW], [MODEL] * 2, [ON_THE_SPOT] * 3, [SLOW] * 3, [ON_THE_SPOT, MODEL, SLOW, ON_THE_SPOT]],
    ids=lambda before: str(len(before)),
)
@pytest.mark.parametrize("in_one_piece", [True, False])
def test_those_before_it_are_answered_first(
    door: Door, before: list[bytes], no_request: bytes, in_one_piece: bool
) -> None:
    pieces = [b"".join(before), no_request + MODEL]
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        for piece in [b"".join(pieces)] if in_one_piece else pieces:
            connection.sendall(piece)
        file = connection.makefile("rb")
        found = [read_answer(file) for _ in range(len(before) + 1)]
        assert file.read() == b""  # and closed
    assert [status for status, *_ in found] == [*[200] * len(before), 400]
    assert [("items" in body) for *_, body in found[:-1]] == [one != MODEL for one in before]
    assert (found[-1][2]["code"], found[-1][1]["connection"]) == ("invalid_http", "close")
