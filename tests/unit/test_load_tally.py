"""What a measurement adds up to: percentiles, statuses, costs of processes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gnas_serve.load.lane import TIMEOUT, Reply
from gnas_serve.load.meter import MetricsMeter, ProcessMeter, Reading
from gnas_serve.load.plan import LoadPlan
from gnas_serve.load.report import LoadReport, Spent, report_of
from gnas_serve.load.tally import SAMPLED, Tally, percentile

# A child that has a child of its own, which works and then waits; both end when their input does.
_WORKING = """
import subprocess, sys
inner = "import sys, time\\nwhile time.process_time() < .5: pass\\nprint('done', flush=True)\\nsys.stdin.read()"
worker = subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE)
sys.stdin.read()
worker.stdin.close()
worker.wait()
"""


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (90, 90), (99, 99), (99.9, 100), (100, 100), (1, 1)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: float) -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))
    assert percentile(values, percent) == expected
    assert percentile(np.array([3.0]), percent) == 3.0
    assert percentile(np.array([]), percent) is None


def summed(tally: Tally, plan: LoadPlan, spent: Spent) -> LoadReport:
    return report_of(tally, spent, plan, protocol="http", address="a", k=10, recall=None, judged=0, cores=None)


def test_a_tally_by_hand() -> None:
    tally = Tally(begin=100.0)
    tally.add(99.9, 99.95, 0, Reply("200"))  # warm-up, and over before the window
    tally.add(99.9, 100.1, 0, Reply("200"))  # warm-up, but a reply in the window: it cost the server
    tally.add(100.0, 100.2, 1, Reply("200", b"answer"))
    tally.add(100.5, 100.6, 2, Reply("503"))
    tally.add(101.0, 111.0, 3, Reply(TIMEOUT))
    plan = LoadPlan(rate=1.0, duration_s=2.0, warm_up_s=1.0)
    report = summed(tally, plan, Spent(Reading(5.0, 1000), Reading(5.4, 3000), 0.8, 16.0))
    assert (report.requests, report.answered) == (3, 1)
    assert report.statuses == {"200": 1, "503": 1, TIMEOUT: 1}
    assert report.errors == pytest.approx(2 / 3)
    assert (report.p50_us, report.max_us) == (pytest.approx(0.2e6), pytest.approx(10e6))
    assert report.window_s == pytest.approx(11.0)
    assert report.qps == pytest.approx(1 / 11)
    assert report.offered_qps == pytest.approx(1.5)
    assert report.cpu_us == pytest.approx(0.4 / 4 * 1e6)
    assert report.client_cpu_us == pytest.approx(0.8 / 4 * 1e6)
    assert report.client_busy == pytest.approx(0.05)
    assert report.figures()["rss"] == 3000
    assert tally.sample == [(1, b"answer")]


def test_a_window_is_as_long_as_was_asked_for() -> None:
    tally = Tally(begin=0.0)
    tally.add(0.1, 0.2, 0, Reply("OK"))
    blind = Spent(None, None, 0.0, 1.0)
    assert summed(tally, LoadPlan(duration_s=2.0), blind).qps == pytest.approx(0.5)
    assert summed(tally, LoadPlan(duration_s=2.0, requests=1), blind).qps == pytest.approx(5.0)
    assert summed(tally, LoadPlan(), blind).cpu_us is None
    assert summed(tally, LoadPlan(), blind).figures()["rss"] is None


def test_a_sample_is_bounded() -> None:
    tally = Tally(begin=0.0)
    for place in range(SAMPLED + 5):
        tally.add(0.1, 0.2, place, Reply("OK", b"x"))
    assert len(tally.sample) == SAMPLED


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_metered_with_its_descendants() -> None:
    command = [sys.executable, "-c", _WORKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        meter = ProcessMeter.of(process.pid)
        assert meter is not None
        reading = meter.read()
        assert reading is not None
        assert 0.45 < reading.cpu_s < 3.0
        assert reading.rss_bytes > 2 * 2**20
        # The time of a descendant that ended is its parent's, and no time is counted twice.
        process.stdin.close()
        process.wait()
    assert meter.read() is None
    assert ProcessMeter.of(2**31 - 1) is None


def test_a_server_that_tells_nothing_is_not_metered() -> None:
    assert MetricsMeter("http://127.0.0.1:9/metrics").read() is None
