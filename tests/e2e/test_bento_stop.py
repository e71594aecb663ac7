"""How a real server ends when a caller holds it up, and when what started it is killed."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest
from served_process import Served
from tiny_artifact import write_tiny_artifact


def test_a_request_that_never_ends_is_cut_off_after_the_time_to_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNAS_TIMEOUT_S", "60")
    monkeypatch.setenv("GNAS_DRAIN_S", "1")
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=20) as raw:
        raw.sendall(b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        time.sleep(0.2)
        started = time.monotonic()
        assert served.stop() == 0, served.log.read_text()
        assert 0.9 < time.monotonic() - started < 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_command_leaves_no_server_behind(tmp_path: Path) -> None:
    served = Served(str(write_tiny_artifact(tmp_path / "artifact")), tmp_path / "elsewhere")
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert len(children) >= 2
    served.process.send_signal(signal.SIGKILL)
    served.process.wait(10)
    assert served.process.stdout is not None
    served.process.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    for child in alive:
        child.kill()
    assert not alive, served.log.read_text()
    assert "drained" in served.log.read_text()
