"""Latency of the finished artifact, measured in a process such as a worker's: one thread, no training code loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from gnas_export.gates import Gate, at_most, skipped
from gnas_serve.errors import ExportError, LatencyError, OfflineError

REQUESTS = 1000
# A busy moment of the machine can spoil a run; an artifact that is too slow is so every time.
RUNS = 3
GATE = "latency_p99_us"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRAM = """
import json, sys
from pathlib import Path
from gnas_serve.errors import OfflineError
from gnas_serve.network_guard import inherited
guard = inherited()
try:
    from gnas_serve.runtime.benchmark import benchmark
    from gnas_serve.runtime.recommender import Recommender
    recommender = Recommender.load(Path(sys.argv[1]))
    times = benchmark(recommender, requests=int(sys.argv[2]), seed=int(sys.argv[3])).to_json()
    guard and guard.raise_if_refused()
except OfflineError as error:
    print(json.dumps([error.message, error.hint]))
    sys.exit(error.exit_code)
print(json.dumps(times))
"""


def latency_gate(folder: Path, limit: float, *, num_users: int, seed: int) -> tuple[Gate, list[dict[str, float]]]:
    """Time an artifact until a run meets the limit, at most :data:`RUNS` times.

    Parameters
    ----------
    folder
        The artifact.
    limit
        Largest 99th percentile, microseconds.
    num_users
        Known to the artifact: without any there is nothing to ask.
    seed
        Of the draw of users.

    Returns
    -------
    Gate
        On the best run.
    list
        Every run, as :class:`gnas_serve.runtime.benchmark.BenchmarkReport` gives it.
    """
    if num_users == 0:
        return skipped(GATE, limit, "the artifact has no users to ask for"), []
    runs: list[dict[str, float]] = []
    while len(runs) < RUNS and not any(run["p99_us"] <= limit for run in runs):
        runs.append(measured(folder, seed=seed))
    best = min(run["p99_us"] for run in runs)
    remark = f"99th percentile of {REQUESTS} requests in one thread, microseconds, best of {len(runs)} runs"
    return at_most(GATE, best, limit, remark, LatencyError), runs


def measured(folder: Path, *, seed: int) -> dict[str, float]:
    """Benchmark an artifact once in a process of its own.

    Raises
    ------
    ExportError
        If that process fails.
    OfflineError
        If it wanted the network, and was to do without.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, str(folder), str(REQUESTS), str(seed)],
        env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == OfflineError.exit_code and done.stdout:
        message, hint = json.loads(done.stdout)
        raise OfflineError(message, hint=hint)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"the artifact could not be timed: {reason}", hint="try `gnas-serve verify` on it")
    result: dict[str, float] = json.loads(done.stdout)
    return result
