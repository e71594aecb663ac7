"""An HTTP server on a thread of its own: it answers every question at once, but for a time in which it does nothing."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

BODY = json.dumps({"items": [{"item_id": 1, "score": 1.0, "source": "user"}]}).encode()


class StallingServer:
    """Listens when it is entered.

    Parameters
    ----------
    status, body
        Of every reply.
    keeps
        Whether connections are kept.
    """

    def __init__(self, status: int = 200, body: bytes = BODY, *, keeps: bool = True) -> None:
        self._reply = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n".encode()
        self._reply += b"\r\n" + body if keeps else b"connection: close\r\n\r\n" + body
        self._keeps = keeps
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.asked = 0
        self.connections = 0

    def __enter__(self) -> StallingServer:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stall(self, after_s: float, for_s: float) -> None:
        """Do nothing at all for a while, later."""
        self._loop.call_soon_threadsafe(self._loop.call_later, after_s, time.sleep, for_s)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _close(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0] or 0))
                self.asked += 1
                writer.write(self._reply)
                if not self._keeps:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
