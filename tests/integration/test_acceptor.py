"""Connections are taken in as they come; while no more can be opened, the loop rests and does not ask on and on."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from gnas_serve.service import acceptor as acceptor_module
from gnas_serve.service.acceptor import Acceptor

ASKED = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def listening_server(stack: ExitStack) -> Iterator[uvicorn.Server]:
    """Give a server of uvicorn that has a socket and takes in nobody itself."""
    config = uvicorn.Config(app, log_config=None, http="httptools", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen(100)
    server.servers = [SimpleNamespace(close=lambda: None, sockets=[listening])]  # type: ignore[list-item]
    server.started = True
    yield server
    for connection in server.server_state.connections.copy():
        connection.transport.close()


@contextmanager
def no_more_files() -> Iterator[None]:
    """Have this process open nothing beyond what it has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(next_file := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def callers(stack: ExitStack, server: uvicorn.Server, count: int) -> list[socket.socket]:
    """Make callers who have connected and asked; nobody has taken them in yet."""
    address = server.servers[0].sockets[0].getsockname()
    made = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(count)]
    for one in made:
        one.sendall(ASKED)
        one.setblocking(False)
    return made


async def statuses(made: list[socket.socket]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        return [(await loop.sock_recv(one, 4096))[:12] for one in made]


def test_all_that_wait_are_taken_in_within_a_turn_where_nobody_else_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = counted_turns(monkeypatch)

    async def play(workers: int) -> int:
        turns.clear()
        with ExitStack() as stack, listening_server(stack) as server:
            made = callers(stack, server, 40)
            acceptor = Acceptor(server, workers)
            assert await statuses(made) == [b"HTTP/1.1 200"] * 40
            acceptor.close()
            return len(turns)

    assert asyncio.run(play(1)) == 1
    assert asyncio.run(play(2)) == 3  # sixteen in each


def test_while_no_more_can_be_opened_it_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = counted_turns(monkeypatch)

    async def play() -> None:
        with ExitStack() as stack, listening_server(stack) as server:
            acceptor = Acceptor(server, 1)
            await asyncio.sleep(0.05)  # it listens
            made = callers(stack, server, 3)
            with no_more_files():
                began = time.monotonic()
                await asyncio.sleep(3.5 * acceptor_module._PAUSE_S)
                most = (time.monotonic() - began) / acceptor_module._PAUSE_S + 1
                assert 2 <= len(turns) <= most  # without a pause some thousands
                assert not server.server_state.connections
            assert await statuses(made) == [b"HTTP/1.1 200"] * 3
            acceptor.close()

    asyncio.run(play())


def test_a_stop_in_the_pause_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = counted_turns(monkeypatch)
    faults: list[dict[str, Any]] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
        with ExitStack() as stack, listening_server(stack) as server:
            acceptor = Acceptor(server, 1)
            await asyncio.sleep(0.05)
            callers(stack, server, 1)
            with no_more_files():
                await asyncio.sleep(0.02)
            acceptor.close()
            assert len(turns) == 1
            await asyncio.sleep(1.5 * acceptor_module._PAUSE_S)
            assert len(turns) == 1
            assert not server.server_state.connections

    asyncio.run(play())
    assert faults == []


def counted_turns(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count how often the acceptor is told that somebody waits."""
    turns: list[None] = []
    take = Acceptor._take

    def counted(self: Acceptor) -> None:
        turns.append(None)
        take(self)

    monkeypatch.setattr(Acceptor, "_take", counted)
    return turns
