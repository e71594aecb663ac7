"""What `recommend` costs in process, stage by stage, beside a flat faiss index and a numpy scan with the same ranker.

``python tests/bench/in_process.py ARTIFACT ...`` asks for 10 items for random known users, in rounds by turns, and
prints processor time per request, median and least of the rounds; recall@C is of the index against exact search, and
the two large calls alone, the index's search and ONNX Runtime's, are beside it. Give ``taskset -c 0``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import faiss
import numpy as np

from gnas_serve import kernels
from gnas_serve.runtime.benchmark import NumpyScan
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.stages import StageClock, found_by

K = 10


class FaissFlat:
    """The exact index that one gets from faiss, over-fetching by what is excluded."""

    exhaustive = False

    def __init__(self, vectors: np.ndarray) -> None:
        self._flat = faiss.IndexFlatIP(vectors.shape[1])
        self._flat.add(vectors)

    def propose(self, query: np.ndarray, count: int, excluded: np.ndarray, _links: Any = None) -> np.ndarray:
        found = self._flat.search(query[None], count + len(excluded))[1][0]
        return found[~np.isin(found, excluded)][:count]


def cpu_us(ask: Callable[[Query], object], queries: list[Query]) -> float:
    started = time.process_time()
    for query in queries:
        ask(query)
    return (time.process_time() - started) / len(queries) * 1e6


def stages(recommender: Recommender, queries: list[Query]) -> dict[str, float]:
    """Give the median microseconds of each stage, and of what comes after the last."""
    spent: dict[str, list[float]] = {}
    for query in queries:
        clock = StageClock()
        found_by(clock.timed(recommender.recommend_staged(query)))
        over = time.perf_counter()
        ended = 0.0
        for stage, began, ended in clock.spans():
            spent.setdefault(stage, []).append(ended - began)
        spent.setdefault("answer", []).append(over - ended)
    return {stage: round(statistics.median(times) * 1e6, 1) for stage, times in spent.items()}


def timed(call: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """Keep how long each call takes."""

    def asked(*arguments: Any) -> Any:
        started = time.perf_counter()
        result = call(*arguments)
        times.append(time.perf_counter() - started)
        return result

    return asked


def single_calls(recommender: Recommender, queries: list[Query]) -> dict[str, float]:
    """Give the median microseconds of the two large calls within a request: the index's search, ONNX Runtime's run."""
    parts: Any = recommender._parts
    index, ranker = parts.retriever._index, parts.ranker
    times: dict[str, list[float]] = {"onnxruntime": [], "index": []}
    run, ranker._run = ranker._run, timed(ranker._run, times["onnxruntime"])
    name = "search" if hasattr(index, "search") else "_search"
    setattr(index, name, timed(getattr(index, name), times["index"]))
    for query in queries:
        recommender.recommend(query)
    ranker._run = run
    delattr(index, name)
    return {name: round(statistics.median(some) * 1e6, 1) for name, some in times.items() if some}


def recall_at_candidates(recommender: Recommender, exact: Recommender, queries: list[Query]) -> float:
    """Give the mean share of the C exact candidates that the index leads to."""

    def candidates(asked: Recommender, query: Query) -> set[int]:
        parts: Any = asked._parts
        assert query.user_id is not None
        row = parts.users.row(query.user_id)
        past = parts.seen.of(row)
        asker = parts.askers.represent(row, past, past[:0])
        found = parts.retriever.retrieve(asker.vector, asker.history, asked.candidates, past.astype(np.int64))
        return set(found.rows.tolist())

    shares = []
    for query in queries:
        best = candidates(exact, query)
        shares.append(len(best & candidates(recommender, query)) / len(best))
    return float(np.mean(shares))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("artifacts", type=Path, nargs="+")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--requests", type=int, default=1000, help="in a round")
    given = options.parse_args()
    faiss.omp_set_num_threads(1)
    for artifact in given.artifacts:
        recommender = Recommender.load(artifact, verify=False)
        manifest, dense = recommender.manifest, recommender.item_vectors.dense()
        rows = np.random.default_rng(0).integers(0, len(recommender.users), given.requests)
        queries = [Query(user_id=recommender.users.id(int(row)), k=K) for row in rows]
        scan = recommender.with_index(NumpyScan(dense))
        asked = {
            "gnas-serve": recommender.recommend,
            "faiss flat, the same ranker": recommender.with_index(FaissFlat(dense)).recommend,
            "numpy scan, the same ranker": scan.recommend,
        }
        spent: dict[str, list[float]] = {name: [] for name in asked}
        for ask in asked.values():
            cpu_us(ask, queries[:100])
        for _ in range(given.rounds):
            for name, ask in asked.items():
                # Of what takes milliseconds a part of the round is enough.
                spent[name].append(cpu_us(ask, queries if name == "gnas-serve" else queries[:200]))
        result = {
            "artifact": artifact.name,
            "branches": {branch.kind: branch.width for branch in manifest.branches},
            "index": f"{manifest.index.kind}, nprobe {manifest.index.nprobe}",
            "kernels": kernels.described(),
            "ranker": f"{manifest.ranker.kind}, {manifest.ranker.precision}, C = {recommender.candidates}",
            "cpu_us": {
                name: {"median": round(statistics.median(times), 1), "least": round(min(times), 1)}
                for name, times in spent.items()
            },
            "stages_us": stages(recommender, queries),
            "single_calls_us": single_calls(recommender, queries),
            "recall_at_candidates": round(recall_at_candidates(recommender, scan, queries[:300]), 4),
        }
        print(json.dumps(result, indent=1), flush=True)


if __name__ == "__main__":
    main()
