"""Closed and open loops against a server that stalls: what waited is counted, and by whom."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from stalling_server import StallingServer

from gnas_serve.errors import ConfigError, StorageError
from gnas_serve.load.arrivals import poisson_arrivals
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.loops import Questions, open_loop
from gnas_serve.load.measure import measure
from gnas_serve.load.plan import MAX_CONNECTIONS, MAX_DURATION_S, MAX_REQUESTS, LoadPlan
from gnas_serve.load.report import LoadReport

USERS = [1, 2, 3]


def stalled(plan: LoadPlan) -> LoadReport:
    """Measure a server that does nothing for a second in the middle."""
    with StallingServer() as server:
        server.stall(plan.warm_up_s + 0.8, 1.0)
        return measure(HttpDoor("127.0.0.1", server.port), USERS, plan)


def test_an_open_loop_shows_a_stall_that_a_closed_loop_hides() -> None:
    timed = {"duration_s": 3.0, "warm_up_s": 0.3}
    by_clock = stalled(LoadPlan(rate=100.0, **timed))
    # A third of the requests were to start while the server stalled: they waited half a second on average.
    assert by_clock.p99_us is not None
    assert 0.8e6 < by_clock.p99_us < 1.6e6
    assert by_clock.p90_us is not None
    assert by_clock.p90_us > 0.3e6
    assert by_clock.errors == 0
    assert by_clock.requests == by_clock.answered == pytest.approx(300, abs=80)
    # One caller met the stall once, and asked nothing meanwhile.
    in_turn = stalled(LoadPlan(concurrency=1, **timed))
    assert in_turn.p99_us is not None
    assert in_turn.max_us is not None
    assert in_turn.p99_us < 0.3e6
    assert in_turn.max_us > 0.8e6
    assert in_turn.offered_qps is None


def test_what_waits_for_a_connection_waits_from_when_it_was_to_start() -> None:
    with StallingServer() as server:
        server.stall(0.5, 1.0)
        door = HttpDoor("127.0.0.1", server.port)
        plan = LoadPlan(rate=100.0, duration_s=2.0, warm_up_s=0.0)
        questions = Questions([door.question(user, 1) for user in USERS], 0)

        async def run() -> np.ndarray:
            async def nothing() -> None:
                pass

            tally = await open_loop(door.lane, questions, plan, 100.0, nothing, connections=2)
            return tally.latencies_us()

        latencies = asyncio.run(run())
        assert server.connections <= 2
    # About a hundred requests stood behind two: with the time of the connections alone, two would have waited.
    assert (latencies > 0.3e6).sum() > 30


def test_every_request_is_counted_once_and_the_warm_up_is_not() -> None:
    with StallingServer() as server:
        door = HttpDoor("127.0.0.1", server.port)
        report = measure(door, USERS, LoadPlan(concurrency=3, duration_s=5.0, warm_up_s=0.2, requests=50))
        assert (report.requests, report.statuses) == (50, {"200": 50})
        assert report.window_s < 5.0
        # One to see whether the server is there, those of the warm-up, and those that are counted.
        assert server.asked > 52
        before = server.asked
        arrivals = LoadPlan(rate=200.0, duration_s=0.5, warm_up_s=0.5)
        counted = measure(door, USERS, arrivals).requests
        times = poisson_arrivals(200.0, 1.0, np.random.default_rng([0, 1]))
        assert counted == (times >= 0.5).sum()
        assert server.asked - before == len(times) + 1


def test_a_connection_that_the_server_ends_is_opened_again() -> None:
    with StallingServer(keeps=False) as server:
        plan = LoadPlan(concurrency=2, duration_s=0.3, warm_up_s=0.0)
        report = measure(HttpDoor("127.0.0.1", server.port), USERS, plan)
        assert report.statuses == {"200": report.requests}
        assert server.connections == report.requests + 1


def test_refusals_are_errors_and_no_latencies() -> None:
    with StallingServer(status=503) as server:
        plan = LoadPlan(concurrency=2, duration_s=0.2, warm_up_s=0.0)
        report = measure(HttpDoor("127.0.0.1", server.port), USERS, plan)
    assert report.requests > 0
    assert (report.answered, report.errors, report.p99_us, report.qps) == (0, 1.0, None, 0.0)
    assert report.statuses == {"503": report.requests}


def test_a_server_that_goes_away_is_not_asked_as_fast_as_can_be() -> None:
    server = StallingServer()
    with server:
        door = HttpDoor("127.0.0.1", server.port)
        lane = door.lane()

        async def twice() -> list[str]:
            statuses = [(await lane.ask(door.question(1, 1))).status]
            await asyncio.to_thread(server._run, server._close())
            statuses += [(await lane.ask(door.question(1, 1))).status for _ in range(2)]
            return statuses

        first, *rest = asyncio.run(twice())
        assert first == "200"
        assert set(rest) <= {"closed", "unreachable"}
        assert rest[-1] == "unreachable"


def test_who_does_not_answer_and_who_refuses_is_told() -> None:
    with StallingServer() as server:
        port = server.port
    with pytest.raises(StorageError, match="nobody answers"):
        measure(HttpDoor("127.0.0.1", port), USERS, LoadPlan())
    with StallingServer(status=404, body=b"no \x1b[2J such") as other:
        started = time.perf_counter()
        with pytest.raises(ConfigError, match=r"status 404: no \\x1b\[2J such"):
            measure(HttpDoor("127.0.0.1", other.port), USERS, LoadPlan())
        assert time.perf_counter() - started < 5


def test_poisson_arrivals() -> None:
    times = poisson_arrivals(500.0, 40.0, np.random.default_rng(0))
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert (gaps >= 0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # exponential: as spread as long
    assert times[0] >= 0
    assert times[-1] < 40.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": MAX_CONNECTIONS + 1},
        {"duration_s": 0.0},
        {"duration_s": MAX_DURATION_S + 1},
        {"warm_up_s": -1.0},
        {"requests": MAX_REQUESTS + 1},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"rate": MAX_REQUESTS / 10.0},
    ],
    ids=str,
)
def test_a_plan_has_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LoadPlan(**wrong)  # type: ignore[arg-type]
