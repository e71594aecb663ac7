"""How a real server ends when a caller holds it up, and when what started it is killed."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from processes import kill, still_alive
from served_process import Served
from tiny_artifact import write_tiny_artifact


def test_a_request_that_never_ends_is_cut_off_after_the_time_to_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNAS_TIMEOUT_S", "60")
    monkeypatch.setenv("GNAS_DRAIN_S", "2")
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=20) as raw:
        raw.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        time.sleep(0.2)
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)  # a quarter of the time to drain it goes on listening
        with pytest.raises(ConnectionRefusedError):  # and nobody waits for an answer that does not come
            socket.create_connection(("127.0.0.1", served.http_port), timeout=5)
        assert served.stop() == 0, served.log.read_text()
        assert 1.9 < time.monotonic() - started < 10


def test_callers_are_told_to_leave_before_the_door_closes(tmp_path: Path) -> None:
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    callers = [http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=10) for _ in range(8)]
    for caller in callers:
        assert _ask(caller) is None
    served.process.send_signal(signal.SIGTERM)
    # Past the moment of the signal, while the server still listens: all are answered, and told to close.
    for pause, caller in zip((0.2, *[0.05] * 7), callers, strict=True):
        time.sleep(pause)
        assert _ask(caller) == "close"
    late = http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=10)
    late.request("GET", "/livez")
    assert late.getresponse().getheader("connection") == "close"
    status = served.process.wait(30)
    assert served.process.stdout is not None
    served.process.stdout.close()
    assert status == 0, served.log.read_text()


def _ask(caller: http.client.HTTPConnection) -> str | None:
    caller.request("POST", "/v1/recommend", b'{"user_id": 1007}')
    reply = caller.getresponse()
    assert reply.status == 200
    assert reply.read()
    return reply.getheader("connection")


def test_a_connection_without_a_whole_request_head_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNAS_TIMEOUT_S", "1")
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    answered = b"GET /v1/model HTTP/1.1\r\nhost: x\r\n\r\n"
    with ExitStack() as stack:
        started = time.monotonic()
        opened = []
        for sent in (b"", b"GET /v1/model HTTP/1.1\r\nhost: x\r\n", answered + b"GET /v1/mo"):
            opened.append(stack.enter_context(socket.create_connection(("127.0.0.1", served.http_port), timeout=4)))
            opened[-1].sendall(sent)
        for raw in opened:
            while raw.recv(65536):
                pass
            assert 0.9 < time.monotonic() - started < 3
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=4) as raw:
        # A caller who pauses for less than that, or between two requests, is kept.
        for part in (answered[:20], answered[20:], answered):
            time.sleep(0.7)
            raw.sendall(part)
        assert raw.recv(12) == b"HTTP/1.1 200"
    assert served.stop() == 0, served.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_command_leaves_no_server_behind(tmp_path: Path) -> None:
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert len(children) >= 2
    served.process.send_signal(signal.SIGKILL)
    served.process.wait(10)
    assert served.process.stdout is not None
    served.process.stdout.close()
    alive = still_alive(children, 20)
    for child in alive:
        kill(child)
    assert not alive, served.log.read_text()
    assert "drained" in served.log.read_text()
