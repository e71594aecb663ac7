"""LoadReport: what a server did under load, and what that cost it and the client."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gnas_serve.load.meter import Reading
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.tally import Tally, percentile


@dataclass(frozen=True)
class LoadReport:
    """One measurement; what could not be measured is None.

    Attributes
    ----------
    protocol, address
        Which door was asked.
    loop
        ``"closed"`` or ``"open"``.
    concurrency
        Connections of a closed loop; None of an open one.
    rate
        Requests per second that an open loop was to begin; None of a closed one.
    duration_s, warm_up_s, k, seed
        As they were asked for.
    window_s
        From the end of the warm-up to the end of the measurement, or to the last counted reply if that is later.
    requests
        Counted; their starts, or intended starts, are in the window.
    answered
        Of these, with an answer.
    statuses
        How many of these ended how: the door's own words, or ``timeout``, ``unreachable``, ``closed``, ``unsent``.
    errors
        Share of the requests without an answer.
    offered_qps
        Counted requests of an open loop per second of it, as they were drawn; None of a closed one.
    qps
        Answers per second.
    p50_us, p90_us, p99_us, p99_9_us, max_us, mean_us
        Latency of the answers in microseconds, from the (intended) start to the last byte; what timed out or was never
        sent waited as long as the client did.
    cpu_us
        Processor time of the server per reply, in microseconds.
    rss_begin_bytes, rss_bytes
        Memory of the server's processes when the window began and when it ended.
    recall
        Mean share of the exact best items that were among those answered.
    judged
        Of so many answers.
    client_cpu_us, client_busy
        Processor time of the client per reply, and its share of the time; close to 1 in a closed loop it is the client
        that is measured. In an open loop the time that it spends looking at the clock is in both.
    client_lag_p99_us
        99th percentile of how late the client was to send what it could have sent; None of a closed loop.
    cores
        Which cores server and client were held to; None where they were not.
    """

    protocol: str
    address: str
    loop: str
    concurrency: int | None
    rate: float | None
    duration_s: float
    warm_up_s: float
    window_s: float
    k: int
    seed: int
    requests: int
    answered: int
    statuses: dict[str, int]
    errors: float
    offered_qps: float | None
    qps: float
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p99_9_us: float | None
    max_us: float | None
    mean_us: float | None
    cpu_us: float | None
    rss_begin_bytes: int | None
    rss_bytes: int | None
    recall: float | None
    judged: int
    client_cpu_us: float
    client_busy: float
    client_lag_p99_us: float | None
    cores: tuple[int, int] | None = None

    def figures(self) -> dict[str, float | None]:
        """Give what objectives are about, by their names."""
        rss = [value for value in (self.rss_begin_bytes, self.rss_bytes) if value is not None]
        return {
            "cpu": self.cpu_us,
            "errors": self.errors,
            "max": self.max_us,
            "p50": self.p50_us,
            "p90": self.p90_us,
            "p99": self.p99_us,
            "p99.9": self.p99_9_us,
            "qps": self.qps,
            "recall": self.recall,
            "rss": max(rss) if rss else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Spent:
    """Two looks at the server, and what the client used between them.

    Attributes
    ----------
    begin, end
        None where the server cannot be looked at.
    client_cpu_s
        Processor time of this process.
    client_wall_s
        Seconds between the looks.
    """

    begin: Reading | None
    end: Reading | None
    client_cpu_s: float
    client_wall_s: float


def report_of(
    tally: Tally,
    spent: Spent,
    plan: LoadPlan,
    *,
    protocol: str,
    address: str,
    k: int,
    recall: float | None,
    judged: int,
    cores: tuple[int, int] | None,
) -> LoadReport:
    """Sum a measurement up.

    Parameters
    ----------
    tally
        What became of the requests; not empty.
    spent
        What that cost.
    recall, judged, cores
        As of the report.
    """
    latencies = tally.latencies_us()
    is_cut = plan.requests is not None and tally.counted >= plan.requests
    window_s = max(tally.last - tally.begin, 1e-9 if is_cut else plan.duration_s)
    finished = max(tally.finished, 1)
    cpu_s = None if spent.begin is None or spent.end is None else spent.end.cpu_s - spent.begin.cpu_s
    offered = None
    if plan.rate is not None:
        offered = plan.rate if is_cut else tally.counted / plan.duration_s
    rounded = {
        f"{name}_us": None if (value := percentile(latencies, percent)) is None else round(value, 1)
        for name, percent in {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}.items()
    }
    return LoadReport(
        protocol=protocol,
        address=address,
        loop="closed" if plan.rate is None else "open",
        concurrency=plan.concurrency if plan.rate is None else None,
        rate=plan.rate,
        duration_s=plan.duration_s,
        warm_up_s=plan.warm_up_s,
        window_s=window_s,
        k=k,
        seed=plan.seed,
        requests=tally.counted,
        answered=tally.answered,
        statuses=dict(sorted(tally.statuses.items())),
        errors=1.0 - tally.answered / tally.counted if tally.counted else 0.0,
        offered_qps=offered,
        qps=tally.answered / window_s,
        **rounded,
        mean_us=float(latencies.mean()) if len(latencies) else None,
        cpu_us=None if cpu_s is None else cpu_s / finished * 1e6,
        rss_begin_bytes=None if spent.begin is None else spent.begin.rss_bytes,
        rss_bytes=None if spent.end is None else spent.end.rss_bytes,
        recall=recall,
        judged=judged,
        client_cpu_us=spent.client_cpu_s / finished * 1e6,
        client_busy=min(1.0, spent.client_cpu_s / spent.client_wall_s),
        client_lag_p99_us=tally.lag_p99_us(),
        cores=cores,
    )
