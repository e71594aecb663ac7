"""Requests cut, joined and mixed at random over several connections: each is answered once, in its order."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from http_door_world import LONG_WAY, Door, read_answer, request
from tiny_artifact import write_tiny_artifact

KINDS = ("express", "the long way", "refused", "waits", "no body")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(write_tiny_artifact(tmp_path_factory.mktemp("order") / "artifact"), max_in_flight=10_000)
    yield door
    door.close()


def drawn(rng: np.random.Generator, place: int) -> tuple[bytes, int, int]:
    """Draw a request; give its bytes, and the status and the number of items of its answer."""
    kind = KINDS[rng.integers(len(KINDS))]
    name = b"x-request-id: r-%d" % place
    k = int(rng.integers(1, 9))
    body = json.dumps({"user_id": int(rng.integers(1000, 1020)), "k": k}).encode()
    if kind == "express":
        return request(body, name), 200, k
    if kind == "the long way":
        return request(body, name, LONG_WAY), 200, k
    if kind == "refused":
        return request(b'{"k": -1}', name), 400, 0
    if kind == "waits":
        queries = json.dumps({"queries": [{"k": 2}] * k}).encode()
        return request(queries, name, path=b"/v1/recommend/batch"), 200, k
    return request(b"", name, method=b"GET", path=b"/v1/users/1003/recommendations?k=%d" % k), 200, k


def pieces_of(sent: bytes, rng: np.random.Generator) -> list[bytes]:
    cuts = np.sort(rng.choice(np.arange(1, len(sent)), size=min(int(rng.integers(0, 8)), len(sent) - 1), replace=False))
    return [sent[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


def converse(door: Door, seed: int, found: list[tuple[list[Any], list[Any]]]) -> None:
    """Ask over one connection; give what was to be answered, and what was."""
    rng = np.random.default_rng(seed)
    asked = [drawn(rng, place) for place in range(int(rng.integers(1, 16)))]
    wanted = [(status, f"r-{place}", length) for place, (_, status, length) in enumerate(asked)]
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as connection:
        for piece in pieces_of(b"".join(one for one, _, _ in asked), rng):
            connection.sendall(piece)
            time.sleep(float(rng.choice([0.0, 0.0, 0.002])))
        file = connection.makefile("rb")
        answers = []
        for _ in asked:
            status, headers, answer = read_answer(file)
            answers.append((status, headers["x-request-id"], len(answer.get("items", answer.get("results", [])))))
    found.append((wanted, answers))


@pytest.mark.parametrize("seed", range(25))
def test_each_request_is_answered_once_and_in_its_order(door: Door, seed: int) -> None:
    found: list[tuple[list[Any], list[Any]]] = []
    callers = [threading.Thread(target=converse, args=(door, 100 * seed + place, found)) for place in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 8
    for wanted, answers in found:
        assert answers == wanted
    deadline = time.monotonic() + 5
    while door.world.metric("gnas_serve_in_flight_requests", door="http") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert door.world.metric("gnas_serve_in_flight_requests", door="http") == 0


@pytest.mark.parametrize("seed", range(5))
def test_callers_who_leave_anywhere_leave_nothing_behind(door: Door, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        sent = b"".join(drawn(rng, place)[0] for place in range(int(rng.integers(1, 6))))
        with socket.create_connection(("127.0.0.1", door.port), timeout=20) as connection:
            connection.sendall(sent[: int(rng.integers(1, len(sent) + 1))])
            if rng.integers(2):  # a reset in place of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    def left() -> tuple[int, float]:  # the task of a request may outlive its connection by a turn of the loop
        in_flight = door.world.metric("gnas_serve_in_flight_requests", door="http")
        return len(door.server.server_state.connections), in_flight

    deadline = time.monotonic() + 10
    while left() != (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left() == (0, 0)
    assert door.send(request())[0][0] == 200
