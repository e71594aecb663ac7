"""A real `gnas-serve serve` process for tests, and BentoML's own client as a script."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
from processes import kill, still_alive

# In a process of its own: importing bentoml warns, and warnings are errors in tests.
BENTOML_CLIENT = """
import json, sys, bentoml
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    one = client.recommend({"user_id": 1007, "k": 3})
    many = client.recommend_batch({"queries": [{"user_id": 1007, "k": 3}]})
    like = client.similar_items({"item_id": 2003, "k": 3})
print(json.dumps([one, many, like], default=lambda model: model.model_dump()))
"""


# Below those that a system hands to whoever connects, which would be taken by the time that a server binds one; and of
# them, each process of the suite has a thousand for itself. Two suites beside each other begin at different places.
_SHARE = 1000
_FIRST_PORT = 20_000 + _SHARE * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12)
_PORTS = itertools.islice(itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _SHARE)), os.getpid() % _SHARE, None)


def free_port() -> int:
    """Give a port that nobody listens on, another one each time."""
    for port in itertools.islice(_PORTS, _SHARE):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {_FIRST_PORT} on is free")


# Of servers that nobody calls any more when they are stopped: at once, and not after the second that callers are given.
AT_ONCE = {"GNAS_DRAIN_S": "0.1"}


class Served:
    """A server, started from an empty folder; settings are variables of its environment."""

    def __init__(self, target: str, folder: Path, *arguments: str, settings: dict[str, str] | None = None) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        command = [sys.executable, "-m", "gnas_serve.cli", "serve", target, "--output", "json", *arguments]
        command += ["--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)]
        folder.mkdir()
        self.log = folder.parent / f"{folder.name}.log"
        with self.log.open("wb") as log:
            environment = {**os.environ, **(settings or {})}
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.ready: dict[str, Any] = json.loads(line)

    def http(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.ready['http']}{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            content = reply.read()
        return json.loads(content) if reply.headers["content-type"] == "application/json" else content.decode()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.ready["grpc"])

    def kill(self) -> None:
        """End every process of it at once, as a failure of power does."""
        whole = [psutil.Process(self.process.pid)]
        whole += whole[0].children(recursive=True)
        for process in whole:
            kill(process)
        self.process.wait(30)
        assert still_alive(whole, 30) == []
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status
