"""What `bench` shows to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from gnas_serve.load.report import LoadReport
    from gnas_serve.runtime.benchmark import BenchmarkReport
    from gnas_serve.runtime.query import ModelInfo


def in_process_table(report: BenchmarkReport, info: ModelInfo) -> Table:
    """Lay out what one thread does, beside brute force."""
    table = Table(
        title=f"{info.num_users} users, {info.num_items} items, {info.index} index, {info.ranker} ranker"
        f" ({info.precision}), C={report.candidates}, k={report.k}, {report.requests} requests, one thread",
        title_justify="left",
    )
    for column in ("", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("recommend", f"{report.p50_us:.0f} us", f"{report.p99_us:.0f} us")
    table.add_row("numpy brute force", f"{report.brute_force_p50_us:.0f} us", f"{report.brute_force_p99_us:.0f} us")
    table.caption = (
        f"{report.to_json()['speedup']:.2f}x the speed of brute force, with {report.recall:.2%} of its items;"
        f" peak memory {report.rss_bytes / 2**20:.0f} MB"
    )
    return table


def load_table(report: LoadReport) -> Table:
    """Lay out what a server did."""
    way = (
        f"{report.concurrency} connections, each asking again when answered"
        if report.rate is None or report.offered_qps is None
        else f"{report.rate:,.10g} requests/s asked by the clock ({report.offered_qps:,.1f} drawn)"
    )
    held = "" if report.cores is None else f"; server on core {report.cores[0]}, client on core {report.cores[1]}"
    table = Table(
        title=f"{report.address}, k={report.k}: {way}, {report.window_s:.1f} s{held}",
        title_justify="left",
        show_header=False,
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_row("requests", f"{report.requests:,}")
    table.add_row("answers", f"{report.qps:,.1f} /s")
    for name, value in (
        ("p50", report.p50_us),
        ("p90", report.p90_us),
        ("p99", report.p99_us),
        ("p99.9", report.p99_9_us),
        ("max", report.max_us),
    ):
        table.add_row(name, "-" if value is None else f"{value / 1e3:,.3f} ms")
    bad = {status: count for status, count in report.statuses.items() if status not in {"200", "OK"}}
    named = ", ".join(f"{status}: {count:,}" for status, count in bad.items())
    table.add_row("errors", f"{report.errors:.3%}{f' ({named})' if named else ''}")
    table.add_row("CPU of the server per request", "-" if report.cpu_us is None else f"{report.cpu_us:,.0f} us")
    table.add_row(
        "its memory, before and after", f"{_megabytes(report.rss_begin_bytes)}, {_megabytes(report.rss_bytes)}"
    )
    if report.recall is not None:
        table.add_row(f"recall@{report.k} against exact search, {report.judged} answers", f"{report.recall:.4f}")
    lag = "" if report.client_lag_p99_us is None else f", late by {report.client_lag_p99_us / 1e3:.3f} ms (p99)"
    table.add_row("the client", f"{report.client_cpu_us:,.0f} us per request, busy {report.client_busy:.0%}{lag}")
    return table


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.1f} MB"
