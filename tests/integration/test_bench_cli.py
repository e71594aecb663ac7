"""`gnas-serve bench`, in process and through the doors of real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_call import call
from processes import still_alive
from served_process import AT_ONCE, Served, free_port
from tiny_artifact import write_tiny_artifact

SHORT = ("--duration", "700ms", "--warm-up", "200ms")
KEYS = {"p50_us", "p90_us", "p99_us", "p99_9_us", "max_us", "cpu_us", "qps", "recall", "rss_bytes", "requests"}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("bench") / "artifact")


@pytest.fixture(scope="module")
def served(artifact: Path) -> Iterator[Served]:
    running = Served(str(artifact), artifact.parent / "elsewhere", settings=AT_ONCE)
    yield running
    running.stop()


def bench(*arguments: object, **variables: str) -> tuple[int, dict[str, Any], str]:
    """Run the command, and give its code, its result and what it said."""
    environment = {**os.environ, **AT_ONCE, **variables}
    command = [sys.executable, "-m", "gnas_serve.cli", "bench", *map(str, arguments), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_server_of_an_artifact(artifact: Path, protocol: str) -> None:
    slo = "p99=10s,qps=1,errors=0,recall=1,rss=20GB,cpu=1s"
    code, report, said = bench(artifact, "--protocol", protocol, *SHORT, "--slo", slo, "--concurrency", 2)
    assert code == 0, said
    assert set(report) >= KEYS
    assert report["statuses"] == {{"http": "200", "grpc": "OK"}[protocol]: report["requests"]}
    assert 0 < report["p50_us"] <= report["p90_us"] <= report["p99_us"] <= report["p99_9_us"] <= report["max_us"]
    assert report["qps"] == pytest.approx(report["answered"] / report["window_s"])
    assert report["recall"] == 1.0
    assert report["judged"] == min(report["requests"], 500)
    if sys.platform == "linux":
        assert 10 < report["cpu_us"] < 1e5
        assert report["rss_bytes"] > 2**24
    assert all(one["kept"] for one in report["objectives"])
    assert len(report["objectives"]) == 6


def test_a_missed_objective_is_exit_7_with_the_report(served: Served, artifact: Path) -> None:
    code, report, said = bench(served.ready["http"], "--artifact", artifact, *SHORT, "--slo", "p50=1us,qps=1")
    assert code == 7
    assert [one["kept"] for one in report["objectives"]] == [False, True]
    assert "1 of 2 objectives missed: p50 is" in said
    assert "at most 1 us was asked" in said


def test_in_process_objectives(artifact: Path) -> None:
    code, report, said = bench(artifact, "--requests", 60, "--slo", "p99=10s,qps=1,recall=1,errors=0")
    assert code == 0, said
    assert set(report) >= KEYS | {"speedup", "brute_force_p50_us"}
    code, report, said = bench(artifact, "--requests", 60, "--slo", "qps=1000000")
    assert code == 7
    assert report["requests"] == 60
    assert "at least 1000000 /s was asked" in said


def test_a_running_server_by_the_clock(served: Served, artifact: Path) -> None:
    http, grpc = served.ready["http"], f"grpc://{served.ready['grpc']}"
    for url in (http, grpc):
        code, report, said = bench(url, *SHORT, "--artifact", artifact, "--rate", 40, "--k", 5)
        assert code == 0, said
        assert (report["loop"], report["rate"]) == ("open", 40)
        assert report["requests"] == round(report["offered_qps"] * 0.7) == report["answered"]
        assert report["recall"] == 1.0
        assert report["client_lag_p99_us"] >= 0


def test_users_of_a_list(served: Served, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("1001\nsomebody else\n")
    code, report, said = bench(served.ready["http"], *SHORT, "--users", users, "--requests", 20)
    assert code == 0, said
    assert (report["requests"], report["recall"]) == (20, None)
    code, report, said = bench(served.ready["http"], *SHORT, "--users", users, "--slo", "recall=.5")
    assert (code, report) == (2, {})
    assert "recall is not measured here" in said


def test_nobody_at_an_address_is_exit_10(artifact: Path) -> None:
    for scheme in ("http", "grpc"):
        code, report, said = bench(f"{scheme}://127.0.0.1:{free_port()}", "--artifact", artifact)
        assert (code, report) == (10, {})
        assert "nobody answers" in said
        assert "hint:" in said


def test_the_other_door_is_exit_2_and_named(served: Served, artifact: Path) -> None:
    code, report, said = bench(f"http://{served.ready['grpc']}", "--artifact", artifact)
    assert (code, report) == (2, {})
    assert "is no HTTP door" in said
    assert "--protocol grpc" in said
    code, report, said = bench(served.ready["http"], "--protocol", "grpc", "--artifact", artifact)
    assert (code, report) == (2, {})
    assert "is no gRPC door" in said
    assert "--protocol http" in said


def test_an_address_that_is_no_recommender_is_exit_2(served: Served, artifact: Path) -> None:
    code, _, said = bench(f"{served.ready['http']}/nowhere", "--artifact", artifact)
    assert code == 2
    assert "status 404" in said


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_in_the_middle_stops_the_server_too(
    artifact: Path, tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    command = [
        sys.executable,
        "-m",
        "gnas_serve.cli",
        "bench",
        str(artifact),
        "--protocol",
        "http",
        "--duration",
        "60s",
    ]
    log = tmp_path / "log"
    with log.open("wb") as stderr, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        deadline = time.monotonic() + 60
        while "open_doors" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(0.5)
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.send_signal(number)
        assert process.wait(30) == expected, log.read_text()
    assert "Traceback" not in log.read_text()
    assert still_alive(started, 0) == []


def test_a_server_that_wants_to_know_who_asks(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("api-key", "bench", "--output", "json") == 0
    drawn = json.loads(capsys.readouterr().out)
    keys, own = tmp_path / "keys", tmp_path / "own"
    keys.write_text(drawn["line"] + "\n")
    own.write_text(drawn["key"] + "\n")
    some = (*SHORT, "--requests", 30)
    asked = ("--artifact", artifact, *some)
    running = Served(str(artifact), tmp_path / "run", settings={**AT_ONCE, "GNAS_API_KEYS": str(keys)})
    try:
        for url, refusal in (
            (running.ready["http"], "status 401"),
            (f"grpc://{running.ready['grpc']}", "status UNAUTHENTICATED"),
        ):
            code, report, said = bench(url, *asked)
            assert (code, report) == (2, {}), said
            assert refusal in said
            assert "hint: give a key or token that it takes: --api-key-file FILE" in said
            code, report, said = bench(url, *asked, "--api-key-file", own)
            assert (code, report["errors"]) == (0, 0), said
            assert drawn["key"] not in said
        code, report, said = bench(
            artifact, "--protocol", "grpc", *some, "--api-key-file", own, GNAS_API_KEYS=str(keys)
        )
        assert (code, report["errors"]) == (0, 0), said
        assert drawn["key"] not in said
        own.write_text("a key\r\nx-header: 1")
        code, _, said = bench(running.ready["http"], *asked, "--api-key-file", own)
        assert code == 2
        assert "no key or token in it" in said
    finally:
        running.stop()


def test_another_artifact_than_the_one_served(served: Served, tmp_path: Path) -> None:
    other = write_tiny_artifact(tmp_path / "other", seed=1)
    code, report, said = bench(served.ready["http"], *SHORT, "--artifact", other)
    assert (code, report) == (2, {})
    assert "version test-0 answered, the artifact is version test-1" in said


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["http://192.0.2.1:3000", "--users", "x"], "--anywhere"),
        (["http://127.0.0.1:9"], "for whom"),
        (["https://127.0.0.1", "--users", "x"], "http://HOST:PORT"),
        (["http://127.0.0.1:9", "--users", "no such file"], "no such file"),
        (["localhost:18471", "--artifact", "ARTIFACT"], "write http://localhost:18471"),
        (["[::1]:3001", "--protocol", "grpc", "--users", "x"], "write grpc://[::1]:3001"),
        (["ARTIFACT", "--rate", "5"], "--protocol"),
        (["ARTIFACT", "--protocol", "http", "--anywhere"], "--anywhere"),
        (["ARTIFACT", "--protocol", "http", "--rate", "5", "--concurrency", "5"], "give one"),
        (["ARTIFACT", "--protocol", "http", "--rate", "nan"], "rate"),
        (["ARTIFACT", "--protocol", "http", "--duration", "10"], "500ms, 10s, 2m"),
        (["ARTIFACT", "--protocol", "http", "--duration", "11m"], "up to 600 s"),
        (["ARTIFACT", "--protocol", "http", "--concurrency", "1025"], "1024"),
        (["ARTIFACT", "--protocol", "smtp"], "smtp"),
        (["ARTIFACT", "--slo", "p99=10"], "p99=10ms"),
        (["ARTIFACT", "--slo", "p98=10ms"], "did you mean"),
        (["ARTIFACT", "--requests", "2000000"], "1000000"),
        (["no such artifact", "--protocol", "http"], "no such artifact"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(artifact: Path, arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = call("bench", *[artifact if one == "ARTIFACT" else one for one in arguments])
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, ""), printed.err
    assert what in " ".join(printed.err.split())
