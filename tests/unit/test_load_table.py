"""What `bench` shows of a server under load."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from gnas_serve.cli.load_table import load_table
from gnas_serve.load.report import LoadReport

CLOSED = LoadReport(
    protocol="http",
    address="http://127.0.0.1:3000",
    loop="closed",
    concurrency=8,
    rate=None,
    duration_s=10.0,
    warm_up_s=2.0,
    window_s=10.0,
    k=10,
    seed=0,
    requests=4900,
    answered=4900,
    statuses={"200": 4900},
    errors=0.0,
    offered_qps=None,
    qps=490.0,
    p50_us=900.0,
    p90_us=1000.0,
    p99_us=2000.0,
    p99_9_us=3000.0,
    max_us=4000.0,
    mean_us=950.0,
    cpu_us=None,
    rss_begin_bytes=None,
    rss_bytes=None,
    recall=None,
    judged=0,
    client_cpu_us=100.0,
    client_busy=0.1,
    client_lag_p99_us=None,
)


def shown(report: LoadReport) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(load_table(report))
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_callers_that_wait() -> None:
    said = shown(CLOSED)
    assert "8 connections, each asking again when answered" in said
    assert "asked by the clock" not in said


@pytest.mark.parametrize(("rate", "told"), [(500.0, "500"), (0.25, "0.25"), (12_345.5, "12,345.5")])
def test_the_rate_that_was_asked_stands_beside_the_one_that_was_drawn(rate: float, told: str) -> None:
    said = shown(replace(CLOSED, loop="open", concurrency=None, rate=rate, offered_qps=490.04))
    assert f"k=10: {told} requests/s asked by the clock (490.0 drawn), 10.0 s" in said
