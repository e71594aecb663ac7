"""The HTTP door behind a real uvicorn, on an event loop in a thread of its own, asked byte by byte."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
import termios
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvicorn
from front_world import World

from gnas_serve.service.connections import bound_heads
from gnas_serve.service.express import Express

ASKED = json.dumps({"user_id": 1007, "k": 5}).encode()
LONG_WAY = b"x-forwarded-for: 127.0.0.1"  # a caller's word on where it comes from is uvicorn's to judge


class Door:
    """A front behind a real uvicorn, on an event loop in a thread of its own; counts what is answered on the spot."""

    def __init__(self, artifact: Path, limit_s: float = 5.0, **settings: Any) -> None:
        self.world = World(artifact, **settings)
        self.on_the_spot = 0
        front, take_in = self.world.front, self.world.front.take_in

        def counted(*arguments: Any) -> Any:
            self.on_the_spot += 1
            return take_in(*arguments)

        front.take_in = counted  # type: ignore[method-assign]
        # Loggers are left as they are: other tests look at uvicorn's.
        config = uvicorn.Config(front, port=0, log_config=None, loop="uvloop", http="httptools", lifespan="off")
        config.load()
        self.server = uvicorn.Server(config)
        bound_heads(self.server, limit_s, Express(front))
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.loop = self.server.servers[0].get_loop()

    def hold_little(self) -> None:
        """Have the kernel hold little of what callers who come from now on do not read: the rest is the door's."""
        with socket.fromfd(self.server.servers[0].sockets[0].fileno(), socket.AF_INET, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def connection_of(self, client: socket.socket) -> Any:
        """Give the server's side of a connection, once it is taken in."""
        while True:
            for one in self.server.server_state.connections.copy():
                if one.client == client.getsockname():
                    return one
            time.sleep(0.001)

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join()

    def send(self, *pieces: bytes, pause_s: float = 0.0, answers: int = 1) -> list[tuple[int, dict[str, str], Any]]:
        """Send bytes over one connection, and read some answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
            file = connection.makefile("rb")
            return [read_answer(file) for _ in range(answers)]

    def send_together(self, *sent: bytes) -> list[tuple[int, dict[str, str], Any]]:
        """Send each over a connection of its own, all there in one turn of the loop, and read an answer to each."""
        with ExitStack() as stack:
            address = "127.0.0.1", self.port
            connections = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in sent]
            ends = [self.connection_of(connection).transport.get_extra_info("socket") for connection in connections]
            is_held, is_sent = threading.Event(), threading.Event()

            def hold() -> None:
                is_held.set()
                is_sent.wait(10)
                while any(_waiting(end) < len(one) for one, end in zip(sent, ends, strict=True)):
                    time.sleep(0.001)

            self.loop.call_soon_threadsafe(hold)
            assert is_held.wait(10)
            for one, connection in zip(sent, connections, strict=True):
                connection.sendall(one)
            is_sent.set()
            return [read_answer(stack.enter_context(connection.makefile("rb"))) for connection in connections]


def _waiting(end: socket.socket) -> int:
    """Tell how many bytes have come, and are not read yet."""
    return int.from_bytes(fcntl.ioctl(end.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


def read_answer(file: Any) -> tuple[int, dict[str, str], Any]:
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name] = value
    return status, headers, json.loads(file.read(int(headers["content-length"])))


def request(body: bytes = ASKED, *further: bytes, path: bytes = b"/v1/recommend", method: bytes = b"POST") -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, path), b"host: x", b"content-length: %d" % len(body), *further]
    return b"\r\n".join([*lines, b"", body])
