"""The acceptor of the HTTP door: takes in the connections that come."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Any

import uvicorn

_TAKEN_ALONE, _TAKEN_AMONG_OTHERS = 1024, 16
_STARTED_S = 0.01
_PAUSE_S = 0.1


class Acceptor:
    """Takes in the connections that wait, in every turn of the event loop.

    uvloop takes in one a turn. While a turn answers a hundred requests, new callers would stand in the kernel's queue
    for seconds, where no limit sees them and nobody tells them to go.

    Parameters
    ----------
    server
        Of whose first socket.
    workers
        How many processes take in from that socket. Beside others, none is to take all that come at once: connections
        live long, and the others would have nothing to do.
    """

    def __init__(self, server: uvicorn.Server, workers: int) -> None:
        self._server = server
        self._is_alone = workers == 1
        self._most = _TAKEN_ALONE if self._is_alone else _TAKEN_AMONG_OTHERS
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._connecting: set[asyncio.Future[Any]] = set()
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        while not self._server.started:
            await asyncio.sleep(_STARTED_S)
        (first, *_) = self._server.servers[0].sockets
        self._listening = socket.fromfd(first.fileno(), first.family, first.type)
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._take)

    def close(self) -> None:
        """Take in no more; to be called before the server closes its socket, which lives as long as this one's does.

        The parent process has the socket, too: until it ends, callers would be taken in by the kernel, and wait for
        nobody. So no more are: they are refused. Whoever listens on the socket again, as a worker does that takes this
        one's place, takes them in again. Beside other workers it is left to these.
        """
        self._opening.cancel()
        if self._listening is None:
            return
        self._loop.remove_reader(self._listening)
        if self._is_alone:
            for server in self._server.servers:
                server.close()
            with suppress(OSError):  # not every system does that
                self._listening.shutdown(socket.SHUT_RD)
        self._listening.close()
        self._listening = None

    def _take(self) -> None:
        if self._listening is None:
            return
        for _ in range(self._most):
            try:
                taken, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:  # until some have left
                    self._loop.remove_reader(self._listening)
                    self._loop.call_later(_PAUSE_S, self._resume)
                return
            taken.setblocking(False)
            connecting = asyncio.ensure_future(
                self._loop.connect_accepted_socket(self._protocol, taken, ssl=self._server.config.ssl)
            )
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connected)

    def _connected(self, connecting: asyncio.Future[Any]) -> None:
        self._connecting.discard(connecting)
        if not connecting.cancelled():
            connecting.exception()  # of a caller who has left already: nobody is there to be told

    def _resume(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening, self._take)

    def _protocol(self) -> asyncio.Protocol:
        server = self._server
        made: asyncio.Protocol = server.config.http_protocol_class(  # type: ignore[call-arg]
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return made
