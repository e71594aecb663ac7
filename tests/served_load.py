"""Callers of a real server who ask all the time, while something is done to it."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from contextlib import closing

CALLERS = 4


class Load:
    """Callers that ask all the time, and what they were answered."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.failures: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(caller,)) for caller in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, caller: int) -> None:
        user = caller
        while not self._stop.is_set():
            user = (user + CALLERS) % 60
            body = json.dumps({"user_id": 1000 + user, "k": 3})
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
                    connection.request("POST", "/v1/recommend", body, {"content-type": "application/json"})
                    reply = connection.getresponse()
                    content = json.loads(reply.read())
                with self._lock:
                    self.answers[reply.status, content["model"]["version"]] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is, it is a request that failed
                with self._lock:
                    self.failures.append(repr(error))
