"""A real server that is told by SIGHUP to read again what it serves, or that its terminal is closed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from served_load import Load
from served_process import AT_ONCE, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT


def _point(link: Path, folder: str) -> None:
    """Let a link name another folder, as a release does: there is a whole one at any moment."""
    fresh = link.with_name("fresh")
    fresh.symlink_to(folder)
    fresh.rename(link)


def _until(holds: Callable[[], bool], limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Hangups(threading.Thread):
    """Tells the processes of a server that starts, the command itself left out, again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[int] = set()
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.02):
            for command in psutil.Process().children():
                for process in command.children(recursive=True):
                    process.send_signal(signal.SIGHUP)
                    self.told.add(process.pid)


def test_all_workers_follow_a_link_and_refuse_what_is_damaged(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write_tiny_artifact(tmp_path / f"v{seed}", seed=seed)
    broken = tmp_path / "v2" / LAYOUT.item_vectors
    broken.write_bytes(broken.read_bytes()[:-1] + b"\x01")
    link = tmp_path / "current"
    _point(link, "v0")
    hangups = Hangups()
    hangups.start()
    try:
        served = Served(str(link), tmp_path / "run", "--workers", "2", settings=AT_ONCE)
    finally:
        hangups.is_over.set()
        hangups.join()
    assert len(hangups.told) >= 3, "none of its processes ended by it"

    def serves(version: str) -> bool:
        return {served.http("/v1/model")["version"] for _ in range(16)} == {version}

    try:
        assert serves("test-0")
        with Load(served.http_port) as load:
            for folder, version in (("v1", "test-1"), ("v0", "test-0"), ("v1", "test-1")):
                _point(link, folder)
                served.process.send_signal(signal.SIGHUP)
                assert _until(lambda version=version: serves(version)), served.log.read_text()  # type: ignore[misc]
            _point(link, "v2")
            served.process.send_signal(signal.SIGHUP)
            assert _until(lambda: served.log.read_text().count("SIGHUP: all goes on as before") == 2)
            assert serves("test-1")
        assert LAYOUT.item_vectors in served.log.read_text()
        assert load.failures == []
        assert {status for status, _ in load.answers} == {200}
    finally:
        assert served.stop() == 0, served.log.read_text()


_ASKS = """
import fcntl, os, signal, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
else:  # whatever these tests themselves were started by
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
from gnas_serve.cli.terminal import Terminal
terminal = Terminal()
def say(text):
    os.write(1, text)
signal.signal(signal.SIGHUP, lambda *_: say(b"gone\\n" if terminal.is_gone() else b"there\\n"))
say(b"ready\\n")
for _ in range(200):
    time.sleep(0.1)
"""


@pytest.mark.parametrize(("start", "last"), [("plain", "gone\n"), ("nohup", "there\n")])
def test_a_signal_of_somebody_is_told_from_one_of_a_terminal_that_is_closed(start: str, last: str) -> None:
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ASKS, start], stdin=inside, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    os.close(inside)
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "there\n"
            os.close(terminal)  # it leads its session: the kernel tells it
            assert process.stdout.readline() == last
        finally:
            process.kill()
