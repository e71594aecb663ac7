"""What a recommendation costs the server at either door, beside bare echoes and beside others that do the same work.

``python tests/bench/door_costs.py ARTIFACT`` serves the artifact, and after it each rival of ``rival_doors.py``, on
core 0, and asks from core 1 with the client of ``gnas-serve bench``: closed loops of ``--concurrency`` callers, in
rounds by turns, as a machine that slows down slows all. The figure is processor time of the server per request, with
median and least of the rounds. A rival that cannot be imported is left out, and why is said; ``--rivals-python``
names an interpreter that can.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from served_process import free_port

from gnas_serve.errors import GnasError
from gnas_serve.load.askers import ExactJudge, known_users
from gnas_serve.load.cores import held_to, two_cores
from gnas_serve.load.grpc_door import GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.lane import Door
from gnas_serve.load.measure import measure
from gnas_serve.load.meter import ProcessMeter
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.report import LoadReport
from gnas_serve.load.served import served
from gnas_serve.runtime.recommender import Recommender

K, READY_S = 10, 90.0
NEEDED = {"fastapi-torch": "fastapi", "litserve-torch": "litserve"}
RIVALS = ("http-echo", "grpc-echo", "http-bare", "grpc-bare", "bentoml", "fastapi-torch", "litserve-torch")
PATHS = {"litserve-torch": "/predict"}
# A tight loop: nothing but recommendations, one after the other, of as many users as a server is asked for.
IN_PROCESS = """
import sys, time
from pathlib import Path
from gnas_serve.load.askers import known_users
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
recommender = Recommender.load(Path(sys.argv[1]))
queries = [Query(user_id, k=int(sys.argv[2])) for user_id in known_users(recommender, 0)]
for query in queries[:500]:
    recommender.recommend(query)
started, asked = time.process_time(), 0
while asked < 20000:
    for query in queries:
        recommender.recommend(query)
    asked += len(queries)
print((time.process_time() - started) / asked * 1e6)
"""


@contextmanager
def rival(name: str, python: str, artifact: Path, core: int | None) -> Iterator[tuple[Door, ProcessMeter | None]]:
    """Run a rival until the context ends."""
    port = free_port()
    door: Door
    if name.startswith("grpc-"):
        door = GrpcDoor("127.0.0.1", port)
    else:
        door = HttpDoor("127.0.0.1", port, PATHS.get(name, "/v1/recommend"))
    command = [python, str(Path(__file__).with_name("rival_doors.py")), name, str(artifact), str(port)]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        environment = {**os.environ, "BENTOML_HOME": folder}
        with held_to(core):
            process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for(door, process, Path(folder) / "log")
            yield door, ProcessMeter.of(process.pid)
        finally:
            end_session(process)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a rival and the workers of the session that is its own; one that is gone already has nothing to end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(door: Door, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            measure(door, [0], LoadPlan(concurrency=1, duration_s=0.05, warm_up_s=0.0), k=K)
        except GnasError as error:
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{door.address}: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.2)
        else:
            return


def missing(name: str, python: str) -> str:
    """Say why a rival cannot run; empty where it can."""
    module = NEEDED.get(name)
    if module is None:
        return ""
    found = subprocess.run([python, "-c", f"import torch, {module}"], capture_output=True, text=True, check=False)
    return found.stderr.strip().rpartition("\n")[2] if found.returncode else ""


def in_process_us(artifact: Path, core: int | None) -> float:
    with held_to(core):
        done = subprocess.run(
            [sys.executable, "-c", IN_PROCESS, str(artifact), str(K)], capture_output=True, text=True, check=True
        )
    return float(done.stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("artifact", type=Path)
    options.add_argument("--rivals-python", default=sys.executable, help="that has fastapi and litserve, too")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--concurrency", type=int, default=8)
    options.add_argument("--duration", type=float, default=4.0, help="seconds of each measurement")
    options.add_argument("--only", nargs="*", choices=RIVALS, help="these rivals alone")
    given = options.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    artifact, cores = given.artifact.absolute(), two_cores()
    core = None if cores is None else cores[0]
    recommender = Recommender.load(artifact)
    users, judge = known_users(recommender, 0), ExactJudge(recommender, K)
    plan = LoadPlan(concurrency=given.concurrency, duration_s=given.duration, warm_up_s=1.0)
    reports: dict[str, list[LoadReport]] = {}
    in_process: list[float] = []

    def ask(name: str, door: Door, meter: ProcessMeter | None) -> None:
        with held_to(None if cores is None else cores[1]):
            report = measure(door, users, plan, k=K, meter=meter, judge=None if "echo" in name else judge, cores=cores)
        reports.setdefault(name, []).append(report)
        kept = ("cpu_us", "qps", "p50_us", "p99_us", "errors", "recall", "client_busy")
        print(json.dumps({"door": name, **{key: report.to_json()[key] for key in kept}}), flush=True)

    names = [name for name in RIVALS if given.only is None or name in given.only]
    for name in list(names):
        if why := missing(name, given.rivals_python):
            print(json.dumps({"door": name, "left out": why}), flush=True)
            names.remove(name)
    for _ in range(given.rounds):
        in_process.append(in_process_us(artifact, core))
        print(json.dumps({"door": "in process", "cpu_us": in_process[-1]}), flush=True)
        for protocol in ("http", "grpc"):
            with served(artifact, protocol) as own:
                ask(f"gnas-serve {protocol}", own.door, own.meter)
        for name in names:
            with rival(name, given.rivals_python, artifact, core) as (door, meter):
                ask(name, door, meter)
    print(json.dumps(summed(reports, in_process), indent=1))


def summed(reports: dict[str, list[LoadReport]], in_process: list[float]) -> dict[str, Any]:
    """Give medians of the rounds, and the least: what others on the machine take is only ever added."""
    measured = {name: [one.cpu_us for one in several if one.cpu_us is not None] for name, several in reports.items()}
    return {
        how.__name__: compared({name: how(values) for name, values in measured.items() if values}, how(in_process))
        for how in (statistics.median, min)
    }


def compared(cpu_us: dict[str, float], in_process_us: float) -> dict[str, Any]:
    """Say how many echoes a door costs beyond the recommendation, and how many of ours one of another's is worth."""
    result: dict[str, Any] = {"in_process_cpu_us": in_process_us, "cpu_us": cpu_us}
    for protocol in ("http", "grpc"):
        own, echo = cpu_us.get(f"gnas-serve {protocol}"), cpu_us.get(f"{protocol}-echo")
        if own and echo:
            result[f"{protocol}_over_echo"] = (own - in_process_us) / echo
        if own and (bare := cpu_us.get(f"{protocol}-bare")):
            result[f"{protocol}_over_bare"] = own / bare
    if own_http := cpu_us.get("gnas-serve http"):
        result["in_requests_of_our_http_door"] = {name: value / own_http for name, value in cpu_us.items()}
    return result


if __name__ == "__main__":
    main()
