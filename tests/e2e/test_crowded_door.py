"""A real server with more callers than it can answer: those who come are taken in, and answered or refused at once."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from served_process import AT_ONCE, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.load.grpc_door import GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.lane import Door
from gnas_serve.load.loop_thread import LoopThread
from gnas_serve.load.loops import Questions, closed_loop
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.tally import Tally

CALLERS, NEWCOMERS, BUSY_S = 200, 300, 4.0
ASKED = b'POST /v1/recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8\r\n\r\n{"k": 3}'


def test_newcomers_do_not_stand_outside_while_others_are_answered(tmp_path: Path) -> None:
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "run", settings=AT_ONCE)
    try:
        door = HttpDoor("127.0.0.1", served.http_port)
        questions = Questions([door.question(1000 + row, 100) for row in range(60)], seed=0)
        busy = threading.Event()

        async def at_begin() -> None:
            busy.set()

        plan = LoadPlan(concurrency=CALLERS, duration_s=BUSY_S, warm_up_s=1.0)
        with LoopThread() as loop:
            keeping = threading.Thread(target=lambda: loop.run(closed_loop(door.lane, questions, plan, at_begin)))
            keeping.start()
            assert busy.wait(30)
            statuses, waited_s = _ask_all(served.http_port)
            keeping.join()
        assert set(statuses) <= {200, 429}
        assert len(statuses) == NEWCOMERS
        assert waited_s < 0.75 * BUSY_S  # and not until the others had left
    finally:
        assert served.stop() == 0, served.log.read_text()


def test_a_stop_in_the_middle_answers_all_that_was_taken_in(tmp_path: Path) -> None:
    settings = {"GNAS_ACCESS_LOG": "1", "GNAS_MAX_IN_FLIGHT": "16", "GNAS_DRAIN_S": "8"}
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "run", settings=settings)
    doors: dict[str, Door] = {
        "http": HttpDoor("127.0.0.1", served.http_port),
        "grpc": GrpcDoor("127.0.0.1", served.grpc_port),
    }
    tallies: dict[str, Tally] = {}

    async def at_begin() -> None:
        pass

    def ask(name: str, door: Door) -> None:
        questions = Questions([door.question(1000 + row, 50) for row in range(60)], seed=0)
        plan = LoadPlan(concurrency=40, duration_s=4.0, warm_up_s=0.0)
        with LoopThread() as loop:
            tallies[name] = loop.run(closed_loop(door.lane, questions, plan, at_begin))

    asking = [threading.Thread(target=ask, args=one) for one in doors.items()]
    for thread in asking:
        thread.start()
    time.sleep(1.5)
    started = time.monotonic()
    assert served.stop() == 0, served.log.read_text()
    assert time.monotonic() - started < 8
    for thread in asking:
        thread.join()
    # What the server says that it answered has come, and nothing was broken off.
    text = served.log.read_text()
    for name, (answered, refused) in {"http": ("200", "429"), "grpc": ("OK", "RESOURCE_EXHAUSTED")}.items():
        logged = Counter(re.findall(rf"\b{name} recommend (\w+) [\d.]+ ms", text))
        assert logged[answered] == tallies[name].statuses[answered] > 0
        assert logged[refused] <= tallies[name].statuses[refused]  # gRPC refuses some before they come to us
        assert set(logged) <= {answered, refused}
    assert "Traceback" not in text


def _ask_all(port: int) -> tuple[list[int], float]:
    started = time.monotonic()
    with ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(NEWCOMERS)
        ]
        for caller in callers:
            caller.sendall(ASKED)
        return [int(caller.recv(1 << 16).split()[1]) for caller in callers], time.monotonic() - started
