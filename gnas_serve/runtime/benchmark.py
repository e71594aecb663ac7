"""In-process latency of `recommend`, beside the same work done by brute force in the same run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.neighbours import Links
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

_WARM_UP = 50
_BLOCK = 50
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class BenchmarkReport:
    """Latencies of one thread, in microseconds.

    Attributes
    ----------
    p50_us, p90_us, p99_us, p99_9_us, max_us, cpu_us
        Of `recommend`: median, 90th, 99th and 99.9th percentile, longest time, and mean processor time per request.
    qps
        Answers per second of one thread that does nothing else.
    brute_force_p50_us, brute_force_p99_us
        Of the same answers from a full scan: one numpy product over all items, ``argpartition``, the same ranker.
    recall
        Mean share of the brute-force list that `recommend` returned as well.
    rss_bytes
        Peak memory of the process.
    """

    requests: int
    k: int
    candidates: int
    p50_us: float
    p90_us: float
    p99_us: float
    p99_9_us: float
    max_us: float
    cpu_us: float
    qps: float
    brute_force_p50_us: float
    brute_force_p99_us: float
    recall: float
    rss_bytes: int

    def figures(self) -> dict[str, float | None]:
        """Give what objectives are about, by their names; every question was answered, or there were no report."""
        return {
            "cpu": self.cpu_us,
            "errors": 0.0,
            "max": self.max_us,
            "p50": self.p50_us,
            "p90": self.p90_us,
            "p99": self.p99_us,
            "p99.9": self.p99_9_us,
            "qps": self.qps,
            "recall": self.recall,
            "rss": self.rss_bytes,
        }

    def to_json(self) -> dict[str, float]:
        """Give the JSON form, with the ratio of the medians."""
        return {**asdict(self), "speedup": self.brute_force_p50_us / self.p50_us}


def benchmark(recommender: Recommender, *, requests: int = 2000, k: int = 10, seed: int = 0) -> BenchmarkReport:
    """Time `recommend` and brute force, in blocks by turns, for the same random known users.

    Parameters
    ----------
    recommender
        A loaded artifact.
    requests
        How many are counted, after a warm-up.
    k
        Items per answer.
    seed
        Of the draw of users.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(recommender.users), requests + _WARM_UP)
    queries = [Query(user_id=recommender.users.id(int(row)), k=k) for row in rows]
    brute_force = recommender.with_index(NumpyScan(recommender.item_vectors.dense()))
    served = np.empty(len(queries))
    scanned = np.empty(len(queries))
    cpu = np.empty(len(queries))
    agreed = np.empty(len(queries))
    # In blocks by turns: a machine that slows down slows both, and a scan does not empty the other's caches each time.
    for start in range(0, len(queries), _BLOCK):
        block = range(start, min(start + _BLOCK, len(queries)))
        answers = []
        for position in block:
            started_cpu = time.thread_time()
            served[position], answer = _timed(recommender.recommend, queries[position])
            cpu[position] = time.thread_time() - started_cpu
            answers.append(set(answer.item_ids))
        for position, answered in zip(block, answers, strict=True):
            scanned[position], exact = _timed(brute_force.recommend, queries[position])
            found = len(answered & set(exact.item_ids))
            agreed[position] = found / len(exact.item_ids) if exact.item_ids else 1.0
    served, scanned, cpu = (times[_WARM_UP:] * 1e6 for times in (served, scanned, cpu))
    return BenchmarkReport(
        requests=requests,
        k=k,
        candidates=recommender.candidates,
        p50_us=_percentile(served, 50),
        p90_us=_percentile(served, 90),
        p99_us=_percentile(served, 99),
        p99_9_us=_percentile(served, 99.9),
        max_us=_percentile(served, 100),
        cpu_us=float(cpu.mean()),
        qps=1e6 / float(served.mean()),
        brute_force_p50_us=_percentile(scanned, 50),
        brute_force_p99_us=_percentile(scanned, 99),
        recall=float(agreed.mean()),
        rss_bytes=_peak_bytes(),
    )


class NumpyScan:
    """The index that a home-made server has: one product over all items, plus what links lead to; `argpartition`.

    Parameters
    ----------
    vectors : (n, d) float32
    """

    exhaustive = True

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self._vectors = vectors

    def propose(
        self,
        query: npt.NDArray[np.float32],
        count: int,
        excluded: npt.NDArray[np.integer],
        links: Links | None = None,
    ) -> npt.NDArray[np.int64]:
        """Propose the ``count`` best rows, as :meth:`gnas_serve.runtime.index.Index.propose`."""
        scores = self._vectors @ query
        if links is not None:
            scores[links.rows] += links.scores
        scores[excluded] = -np.inf
        count = min(count, len(scores) - len(excluded))
        if count <= 0:
            return np.empty(0, dtype=np.int64)
        return np.argpartition(scores, len(scores) - count)[len(scores) - count :]


def _timed(ask: Callable[[Query], _Result], query: Query) -> tuple[float, _Result]:
    started = time.perf_counter()
    answer = ask(query)
    return time.perf_counter() - started, answer


def _percentile(times: npt.NDArray[np.float64], percent: float) -> float:
    return round(float(np.percentile(times, percent)), 1)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
