"""The network guard: what leaves the machine is refused and named, what stays inside is not."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from gnas_serve.errors import OfflineError
from gnas_serve.network_guard import OFFLINE, QUIET, NetworkGuard, inherited

OUTSIDE = "192.0.2.1"  # of TEST-NET-1: nobody's


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda: socket.create_connection((OUTSIDE, 80)), "look up 192.0.2.1"),
        (lambda: _tcp(lambda one: one.connect((OUTSIDE, 80))), "connect to 192.0.2.1:80"),
        (lambda: _tcp(lambda one: one.connect_ex((OUTSIDE, 80))), "connect to 192.0.2.1:80"),
        (lambda: _tcp(lambda one: one.connect(("2001:db8::1", 443)), socket.AF_INET6), "connect to 2001:db8::1:443"),
        (lambda: socket.getaddrinfo("example.com", 443), "look up example.com"),
        (lambda: socket.gethostbyname("example.com"), "look up example.com"),
        (lambda: socket.gethostbyaddr(OUTSIDE), "look up 192.0.2.1"),
        (lambda: _udp(lambda one: one.sendto(b"x", (OUTSIDE, 53))), "send to 192.0.2.1:53"),
        (lambda: _udp(lambda one: one.sendmsg([b"x"], [], 0, (OUTSIDE, 53))), "send to 192.0.2.1:53"),
        (lambda: _tcp(lambda one: one.bind(("0.0.0.0", 0))), "listen on 0.0.0.0:0"),  # noqa: S104  # what is refused
        (lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW), "open a socket of family"),
    ],
)
def test_what_leaves_the_machine(attempt, said):
    with NetworkGuard() as guard, pytest.raises(OfflineError, match=said) as refused:
        attempt()
    assert refused.value.exit_code == 9
    assert __name__.rpartition(".")[2] in refused.value.message  # who asked
    assert len(guard.refused) == 1


def test_what_stays_inside(tmp_path):
    with NetworkGuard() as guard:
        server = socket.create_server(("127.0.0.1", 0))
        with server, socket.create_connection(("localhost", server.getsockname()[1])) as client:
            client.sendall(b"x")
        with socket.socket(socket.AF_UNIX) as unix, suppress(FileNotFoundError):
            unix.connect(str(tmp_path / "nobody"))
        first, second = socket.socketpair()
        first.close()
        second.close()
        _udp(lambda one: one.sendto(b"x", ("127.0.0.1", 9)))
        socket.gethostname()
        guard.raise_if_refused()
    assert guard.to_json() == {"offline": True, "refused": 0, "attempts": [], "programs": []}
    assert guard.summary == "no network was used: 0 attempts refused"


def test_a_refusal_that_is_swallowed_is_not_forgotten():
    def careless():
        with suppress(Exception):
            socket.create_connection((OUTSIDE, 80), timeout=1)

    with NetworkGuard() as guard:
        thread = threading.Thread(target=careless)
        thread.start()
        thread.join()
        with pytest.raises(OfflineError, match="wanted to look up"):
            guard.raise_if_refused()


def test_outside_of_it_nothing_is_changed():
    before = {name: os.environ.get(name) for name in (OFFLINE, *QUIET)}
    with NetworkGuard() as guard:
        assert {name: os.environ[name] for name in QUIET} == QUIET
    assert {name: os.environ.get(name) for name in (OFFLINE, *QUIET)} == before
    with suppress(OSError):
        _udp(lambda one: one.connect((OUTSIDE, 9)))  # sends nothing
    assert guard.refused == []
    assert inherited() is None


def test_programs_that_are_started_are_named_and_ours_guard_themselves():
    code = (
        "from gnas_serve.network_guard import inherited; import socket; guard = inherited()\n"
        f"socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    )
    with NetworkGuard() as guard:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "OfflineError: --offline: __main__ (line 2) wanted to look up 192.0.2.1" in done.stderr
    assert len(guard.to_json()["programs"]) == 1
    assert "started besides: python" in guard.summary


def _tcp(attempt, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as endpoint:
        attempt(endpoint)


def _udp(attempt):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        attempt(endpoint)
