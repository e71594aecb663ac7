"""Who listens at an address is told by its first bytes, and one that says nothing is not waited for."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import pytest
from served_process import free_port

from gnas_serve.load.listener import Listener, listener_at

SETTINGS = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0]) + bytes([0, 3, 0, 0, 0, 100])
RECEIPT = bytes([0, 0, 0, 4, 1, 0, 0, 0, 0])


def found_at(first: bytes, *, stays: bool) -> Listener:
    """Ask a server that says ``first``, and then stays silent or leaves."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(first)
            while stays and connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        found = asyncio.run(listener_at("127.0.0.1", server.getsockname()[1]))
        thread.join(10)
    return found


@pytest.mark.parametrize(
    ("first", "stays", "expected"),
    [
        (SETTINGS, True, Listener.http2),
        (SETTINGS, False, Listener.http2),
        (RECEIPT, False, Listener.other),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, Listener.other),
        (b"SSH-2.0", False, Listener.other),
        (b"", False, Listener.other),
    ],
)
def test_the_first_bytes(first: bytes, stays: bool, expected: Listener) -> None:
    assert found_at(first, stays=stays) is expected


def test_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_serve.load.listener._LIMIT_S", 0.1)
    assert found_at(b"", stays=True) is Listener.other


def test_nobody() -> None:
    assert asyncio.run(listener_at("127.0.0.1", free_port())) is Listener.nobody
