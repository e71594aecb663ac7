"""A real server with two workers, killed while feedback comes in: what was acknowledged is there, and once."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from served_process import AT_ONCE, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.auth import digest_of, new_key

EVENTS, PER_CALL, CALLERS, KILLS = 10_000, 20, 4, 2


class Callers:
    """Some callers that send their share of the events, each until a call fails."""

    def __init__(self, port: int, key: str, skip: set[str]) -> None:
        self.acknowledged: set[str] = set()
        self._lock = threading.Lock()
        self._port, self._key, self._skip = port, key, skip
        self._threads = [threading.Thread(target=self._send, args=(caller,)) for caller in range(CALLERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _send(self, caller: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            self._send_over(connection, caller)

    def _send_over(self, connection: http.client.HTTPConnection, caller: int) -> None:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        for start in range(caller * PER_CALL, EVENTS, CALLERS * PER_CALL):
            ids = [f"event-{number}" for number in range(start, start + PER_CALL)]
            if self._skip.issuperset(ids):
                continue
            events = [
                {"event_id": one, "user_id": 1000 + place % 60, "item_id": 2000 + place % 80, "event": "view"}
                for place, one in enumerate(ids, start)
            ]
            try:
                connection.request("POST", "/v1/feedback", json.dumps({"events": events}), headers)
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException):
                return
            if reply.status != 202:
                return
            with self._lock:
                self.acknowledged.update(ids)


def _feedback(*arguments: object) -> str:
    command = [sys.executable, "-m", "gnas_serve.cli", "feedback", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_while_feedback_comes_in(tmp_path: Path) -> None:
    artifact, log, key = tmp_path / "artifact", tmp_path / "log", new_key()
    write_tiny_artifact(artifact)
    keys = tmp_path / "keys"
    keys.write_text(f"test {digest_of(key)}\n")
    settings = {**AT_ONCE, "GNAS_FEEDBACK": str(log), "GNAS_API_KEYS": str(keys)}
    acknowledged: set[str] = set()
    for turn in range(KILLS):
        served = Served(str(artifact), tmp_path / f"turn-{turn}", "--workers", "2", settings=settings)
        callers = Callers(served.http_port, key, acknowledged)
        callers.start()
        enough = EVENTS // (KILLS + 2)
        while len(callers.acknowledged) < enough:
            assert served.process.poll() is None
            time.sleep(0.005)  # not at the expense of those who ask and answer
        served.kill()
        callers.join()
        assert enough <= len(callers.acknowledged) < EVENTS, "it was killed in the middle"
        acknowledged |= callers.acknowledged
    served = Served(str(artifact), tmp_path / "last", "--workers", "2", settings=settings)
    before = json.loads(_feedback("status", log, "--output", "json"))
    # Whoever did not hear of an event sends it again; so does a caller here of those that were acknowledged.
    callers = Callers(served.http_port, key, set())
    callers.start()
    callers.join()
    assert len(callers.acknowledged) == EVENTS
    assert served.stop() == 0
    out = tmp_path / "out" / "interactions.jsonl"
    _feedback("export", log, out)
    status = json.loads(_feedback("status", log, "--output", "json"))
    assert before["records"] >= len(acknowledged)
    assert status["records"] == EVENTS, "each stands in the log once"
    assert len(out.read_text().splitlines()) == EVENTS
