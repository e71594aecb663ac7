"""A real server with more callers than it can answer: those who come are taken in, and answered or refused at once."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from served_process import Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.loop_thread import LoopThread
from gnas_serve.load.loops import Questions, closed_loop
from gnas_serve.load.plan import LoadPlan

CALLERS, NEWCOMERS, BUSY_S = 200, 300, 6.0
ASKED = b'POST /v1/recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8\r\n\r\n{"k": 3}'


def test_newcomers_do_not_stand_outside_while_others_are_answered(tmp_path: Path) -> None:
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "run")
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
        assert waited_s < BUSY_S / 2  # and not until the others had left
    finally:
        assert served.stop() == 0, served.log.read_text()


def _ask_all(port: int) -> tuple[list[int], float]:
    started = time.monotonic()
    with ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(NEWCOMERS)
        ]
        for caller in callers:
            caller.sendall(ASKED)
        return [int(caller.recv(1 << 16).split()[1]) for caller in callers], time.monotonic() - started
