"""Malformed messages at the gRPC door of a real server, as many as one likes, and what they do to its memory.

``python tests/bench/grpc_fuzz.py [--messages 10000] [--seed 0]`` serves a small artifact, sends what
``tests/grpc_nonsense.py`` draws, and prints one JSON object: how often each kind of nonsense got each status, what was
wrong (a status that is not the caller's fault, a hang, something internal in the details), and the server's memory
before, in the middle and after: what it grows by in the second half is growth, before that much is made for the first
time. Exit 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from attribute_tables import attributes_of
from grpc_nonsense import Nonsense, put
from served_process import Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.client import recommend

WARM_UP = 1000
MOST_GROWTH = 0.05


def memory_of(served: Served) -> int:
    whole = psutil.Process(served.process.pid)
    return sum(process.memory_info().rss for process in (whole, *whole.children(recursive=True)))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    attributes = attributes_of({"price": [float(row) for row in range(80)], "category": ["a", "b"] * 40})
    with tempfile.TemporaryDirectory() as folder:
        artifact = write_tiny_artifact(Path(folder) / "artifact", attributes=attributes)
        settings = {"GNAS_FEEDBACK": str(Path(folder) / "log")}
        served = Served(str(artifact), Path(folder) / "run", settings=settings)
        try:
            nonsense = Nonsense(given.seed)
            with served.channel() as channel:
                put(channel, nonsense.messages(WARM_UP))
                memory, statuses, wrong = [memory_of(served)], {}, []
                started = time.monotonic()
                for half in (given.messages // 2, given.messages - given.messages // 2):
                    found, errors = put(channel, nonsense.messages(half))
                    statuses |= {key: statuses.get(key, 0) + count for key, count in found.items()}
                    wrong += errors
                    memory.append(memory_of(served))
                seconds = time.monotonic() - started
            answered = len(recommend(served.ready["grpc"], user_id=1007, k=5)["items"]) == 5
        finally:
            status = served.stop()
        log = served.log.read_text()
    growth = memory[-1] / memory[1] - 1
    fine = not wrong and answered and status == 0 and growth < MOST_GROWTH and "Traceback" not in log
    said = {
        "messages": sum(statuses.values()),
        "seconds": round(seconds, 1),
        "statuses": {f"{kind}: {code}": count for (kind, code), count in sorted(statuses.items())},
        "wrong": wrong[:20],
        "answers_afterwards": answered,
        "exit": status,
        "tracebacks_in_log": log.count("Traceback"),
        "rss_bytes": memory,
        "growth": round(growth, 4),
        "verdict": "pass" if fine else "fail",
    }
    print(json.dumps(said, indent=1))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
