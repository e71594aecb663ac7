"""A latency objective: measured on the finished artifact, reported, and never part of its bytes."""

import json
from dataclasses import replace

import pytest
from cli_call import call
from export_runs import PROFILE, files, run
from planted_checkpoint import planted_checkpoint

from gnas_export.judging import latency
from gnas_serve.errors import OfflineError
from gnas_serve.network_guard import NetworkGuard


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint"
    planted_checkpoint().save(path)
    return path


def test_an_objective_that_is_met_changes_no_byte(tmp_path):
    made = run(
        planted_checkpoint(),
        tmp_path / "a",
        replace(PROFILE, gates=PROFILE.gates.forced(max_latency_us=1e6)),
        ranker="never",
    )
    gate = next(gate for gate in made.report["gates"] if gate["name"] == latency.GATE)
    assert gate["passed"]
    assert [run["p99_us"] for run in made.report["facts"]["latency"]] == [gate["value"]]
    assert latency.GATE not in {gate["name"] for gate in made.manifest.gates}
    without = run(planted_checkpoint(), tmp_path / "b", ranker="never")
    assert "latency" not in without.report["facts"]
    assert files(made.path) == files(without.path)


def test_a_missed_objective_is_exit_7_with_a_report(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(latency, "RUNS", 2)
    arguments = ("--profile", "exact", "--max-latency-us", "1")
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 7
    said = capsys.readouterr().err
    assert "gate latency_p99_us" in said
    hint = " ".join(said.partition("hint:")[2].split())
    assert "fewer candidates than" in hint
    assert "ranker" not in hint  # there is none
    assert hint.endswith("is in " + str(tmp_path / "a.report.html"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.report.html", "a.report.json"]
    report = json.loads((tmp_path / "a.report.json").read_text())
    assert report["error"]["code"] == "latency"
    assert len(report["facts"]["latency"]) == 2
    assert not report["gates"][-1]["passed"]


@pytest.mark.parametrize(
    ("times", "taken", "passed"), [((900.0, 400.0, 300.0), 2, True), ((900.0, 700.0, 800.0), 3, False)]
)
def test_the_best_of_up_to_three_runs_counts(tmp_path, monkeypatch, times, taken, passed):
    left = iter(times)
    monkeypatch.setattr(latency, "measured", lambda *_, **__: {"p99_us": next(left)})
    gate, runs = latency.latency_gate(tmp_path, 500.0, num_users=1, seed=0)
    assert [run["p99_us"] for run in runs] == list(times[:taken])
    assert (gate.value, gate.passed) == (min(times[:taken]), passed)
    assert gate.remark.endswith(f"best of {taken} runs")


@pytest.mark.parametrize("value", ["0", "-5", "nan"])
def test_an_objective_must_be_a_time(checkpoint, tmp_path, capsys, value):
    assert call("export", checkpoint, "--out", tmp_path / "a", "--max-latency-us", value) == 2
    assert "--max-latency-us" in capsys.readouterr().err


def test_a_timing_process_that_wants_the_network_ends_an_offline_export_as_such(tmp_path, monkeypatch):
    """It is another process: what it was refused is told by its own exit code."""
    asking = latency._PROGRAM.replace("times =", "__import__('socket').create_connection(('192.0.2.1', 80)); times =")
    monkeypatch.setattr(latency, "_PROGRAM", asking)
    made = run(planted_checkpoint(), tmp_path / "a", ranker="never")
    with NetworkGuard(), pytest.raises(OfflineError, match=r"192\.0\.2\.1"):
        latency.measured(made.path, seed=0)
