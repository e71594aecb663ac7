"""Twice as many requests as a server can answer, at both doors, and a SIGTERM in the middle of them.

``python tests/bench/overload.py ARTIFACT`` serves the artifact on core 0 and asks from core 1 with the client of
``gnas-serve bench``. For each door it measures what the server can answer (a closed loop), asks twice that for
``--seconds`` whether it keeps up or not (an open loop), with the server's memory read every second and refusals looked
at from a connection of their own, and then does so anew with a server that is told to stop half-way. Prints one JSON
object; exit 1 where the verdict of any part is no.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))
from served_process import Served

from gnas_serve.load.askers import known_users
from gnas_serve.load.cores import held_to, two_cores
from gnas_serve.load.grpc_door import METHOD, GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.lane import Door
from gnas_serve.load.measure import measure
from gnas_serve.load.meter import ProcessMeter
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.report import LoadReport
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.errors import CODE_KEY

K, CAPACITY_S, CALLERS, FACTOR, DRAIN_S = 10, 5.0, 32, 2.0, 10.0
MOST_GROWTH = 0.03
MOST_P99_US = 5e6  # half of what a request may take, the wait for one of the client's connections included
# CANCELLED is how grpcio itself ends what waits in its own queue beyond the limit: it offers no other code.
ANSWERED, REFUSED = {"200", "OK"}, {"429", "RESOURCE_EXHAUSTED", "CANCELLED"}
_LOGGED = re.compile(r"\b(http|grpc) recommend (\w+) [\d.]+ ms ")


class Watch:
    """Reads the server's memory every second, and looks at what refusals are like, on a thread of its own."""

    def __init__(self, served: Served, door: Door) -> None:
        meter = ProcessMeter.of(served.process.pid)
        assert meter is not None
        self.rss: list[int] = []
        self.refusals: Counter[str] = Counter()
        self._meter, self._served, self._door = meter, served, door
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with self._served.channel() as channel:
            while not self._over.wait(1):
                reading = self._meter.read()
                self.rss.append(0 if reading is None else reading.rss_bytes)
                for _ in range(5):
                    try:
                        refusal = of_http(self._served) if self._door.protocol == "http" else of_grpc(channel)
                    except OSError as error:
                        refusal = repr(error)
                    if refusal is not None:
                        self.refusals[refusal] += 1


def of_http(served: Served) -> str | None:
    """Ask once, and describe a refusal; None of an answer."""
    asked = http.client.HTTPConnection("127.0.0.1", served.http_port, timeout=10)
    try:
        asked.request("POST", "/v1/recommend", b'{"k": 3}', {"content-type": "application/json"})
        reply = asked.getresponse()
        body = reply.read()
        if reply.status == 200:
            return None
        kind, wait = reply.getheader("content-type"), reply.getheader("retry-after")
        return f"{reply.status} {json.loads(body)['code']}, {kind}, retry-after {wait}"
    finally:
        asked.close()


def of_grpc(channel: grpc.Channel) -> str | None:
    """Ask once, and describe a refusal; None of an answer."""
    try:
        channel.unary_unary(METHOD)(b"", timeout=10)
    except grpc.RpcError as error:
        return f"{error.code().name} {dict(error.trailing_metadata() or ()).get(CODE_KEY)}"
    return None


@contextmanager
def serving(artifact: Path, cores: tuple[int, int] | None, **settings: str) -> Iterator[Served]:
    """Serve on one core, while this process is held to the other."""
    with tempfile.TemporaryDirectory() as folder:
        with held_to(None if cores is None else cores[0]):
            served = Served(str(artifact), Path(folder) / "run", settings=settings)
        try:
            with held_to(None if cores is None else cores[1]):
                yield served
        finally:
            if served.process.poll() is None:
                served.stop()


def door_of(name: str, served: Served) -> Door:
    return HttpDoor("127.0.0.1", served.http_port) if name == "http" else GrpcDoor("127.0.0.1", served.grpc_port)


def overloaded(name: str, artifact: Path, users: list[Any], seconds: float) -> tuple[dict[str, Any], float]:
    """Ask twice what the server can answer; gives what was seen, and what it can."""
    cores = two_cores()
    with serving(artifact, cores) as served:
        door = door_of(name, served)
        meter = ProcessMeter.of(served.process.pid)
        closed = measure(door, users, LoadPlan(concurrency=CALLERS, duration_s=CAPACITY_S), k=K, meter=meter)
        rate = FACTOR * closed.qps
        with Watch(served, door) as watch:
            report = measure(door, users, LoadPlan(rate=rate, duration_s=seconds, warm_up_s=5.0), k=K, meter=meter)
        answers = len(served.http("/v1/recommend", {"k": K})["items"])
        status = served.stop()
        tracebacks = served.log.read_text().count("Traceback")
    settled = watch.rss[5:]
    third = max(1, len(settled) // 3)
    first, last = statistics.median(settled[:third]), statistics.median(settled[-third:])
    verdicts = {
        "no crash": status == 0 and tracebacks == 0 and answers > 0,
        "memory does not grow": last / first - 1 < MOST_GROWTH,
        "p99 of the answered is bounded": report.p99_us is not None and report.p99_us < MOST_P99_US,
        "others are refused": set(report.statuses) <= ANSWERED | REFUSED and bool(set(report.statuses) & REFUSED),
        "refusals say what they are": all(is_clean(refusal) for refusal in watch.refusals) and bool(watch.refusals),
    }
    return {
        "capacity_qps": round(closed.qps),
        **told(report),
        "rss_first_third_bytes": first,
        "rss_last_third_bytes": last,
        "growth": round(last / first - 1, 4),
        "refusals": dict(watch.refusals),
        "verdicts": verdicts,
    }, closed.qps


def is_clean(refusal: str) -> bool:
    return refusal in {
        "429 overloaded, application/problem+json, retry-after 1",
        "RESOURCE_EXHAUSTED overloaded",
        "CANCELLED None",  # by grpcio itself
    }


def stopped(name: str, artifact: Path, users: list[Any], seconds: float, rate: float) -> dict[str, Any]:
    """Tell the server to stop half-way; what it says that it answered has to have come."""
    cores = two_cores()
    with serving(artifact, cores, GNAS_ACCESS_LOG="1", GNAS_DRAIN_S=str(DRAIN_S)) as served:
        took: list[float] = []

        def stop() -> None:
            time.sleep(seconds / 2)
            started = time.monotonic()
            served.process.send_signal(signal.SIGTERM)
            served.process.wait(4 * DRAIN_S)
            took.append(time.monotonic() - started)

        stopping = threading.Thread(target=stop)
        stopping.start()
        report = measure(door_of(name, served), users, LoadPlan(rate=rate, duration_s=seconds, warm_up_s=0.0), k=K)
        stopping.join()
        status = served.process.returncode
        assert served.process.stdout is not None
        served.process.stdout.close()
        text = served.log.read_text()
    logged = Counter(code for door, code in _LOGGED.findall(text) if door == name)
    answered = sum(logged[code] for code in ANSWERED)
    got = report.answered + 1  # and the first question, which is not counted
    verdicts = {
        "what was accepted was answered": answered == got and not logged["499"] and not logged["CANCELLED"],
        "nothing else went wrong": set(logged) <= ANSWERED | REFUSED and "Traceback" not in text,
        "ended with 0 in time": status == 0 and took[0] < DRAIN_S + 2,
    }
    return {
        **told(report),
        "server_says": dict(logged),
        "exit": status,
        "stopped_after_s": round(took[0], 2),
        "verdicts": verdicts,
    }


def told(report: LoadReport) -> dict[str, Any]:
    names = ("offered_qps", "qps", "p50_us", "p99_us", "max_us", "statuses", "client_busy", "client_lag_p99_us")
    return {name: getattr(report, name) for name in names}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("artifact", type=Path)
    options.add_argument("--seconds", type=float, default=60.0, help="of the overload; a third of it for the stop")
    options.add_argument("--doors", nargs="+", choices=["http", "grpc"], default=["http", "grpc"])
    given = options.parse_args()
    artifact = given.artifact.absolute()
    users = known_users(Recommender.load(artifact), 0)
    said: dict[str, Any] = {"cores": two_cores(), "load_average_before": os.getloadavg()}
    for name in given.doors:
        load, capacity = overloaded(name, artifact, users, given.seconds)
        stop = stopped(name, artifact, users, given.seconds / 3, FACTOR * capacity)
        said[name] = {"overload": load, "stop": stop}
    said["load_average_after"] = os.getloadavg()
    parts = [part["verdicts"] for name in given.doors for part in said[name].values()]
    said["verdict"] = "pass" if all(all(part.values()) for part in parts) else "fail"
    print(json.dumps(said, indent=1))
    return 0 if said["verdict"] == "pass" else 1


if __name__ == "__main__":
    sys.exit(main())
