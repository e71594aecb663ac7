"""What a pipeline asks of an export: limits by options, and gates in a form that it can show."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from cli_call import call
from export_runs import PROFILE, files, run
from planted_checkpoint import planted_checkpoint

from gnas_export.report.junit import junit_report


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint"
    planted_checkpoint().save(path)
    return path


def parsed(raw):
    return ElementTree.fromstring(raw)  # noqa: S314  # written a moment ago


def limited(size_bytes):
    return replace(PROFILE, gates=PROFILE.gates.forced(max_artifact_bytes=size_bytes))


def test_an_artifact_that_is_small_enough(tmp_path):
    made = run(planted_checkpoint(), tmp_path / "a", limited(10_000_000), ranker="never")
    (gate,) = (gate for gate in made.report["gates"] if gate["name"] == "artifact_bytes")
    assert gate["passed"]
    whole = run(planted_checkpoint(), tmp_path / "b", ranker="never")
    sizes = whole.report["artifact"]["files"]
    describing = {"manifest.json", "MODEL_CARD.md", "sbom.cdx.json", "SHA256SUMS"}  # which name its gates and limits
    assert gate["value"] == sum(size for name, size in sizes.items() if name not in describing)
    size = whole.report["facts"]["artifact_bytes"]  # known without a limit, too
    assert size["size_bytes"] == gate["value"] == sum(size["parts"].values())
    assert size["parts"]["histories"] == sizes["seen.items.npy"] + sizes["seen.offsets.npy"]
    changed = {name for name, raw in files(whole.path).items() if raw != files(made.path)[name]}
    assert changed == describing


def test_an_artifact_that_is_too_large_is_exit_6_with_its_reports(checkpoint, tmp_path, capsys):
    junit = tmp_path / "reports" / "gates.xml"
    arguments = ("--profile", "exact", "--max-artifact-bytes", 1000, "--junit", junit)
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 6
    said = capsys.readouterr().err
    assert "gate artifact_bytes" in said
    assert f"export: reports: {tmp_path / 'a.report.json'}, {junit}, {tmp_path / 'a.report.html'}\n" in said
    parts = json.loads((tmp_path / "a.report.json").read_text())["facts"]["artifact_bytes"]["parts"]
    largest = max(parts, key=parts.get)
    hint = " ".join(said.partition("hint:")[2].split())
    assert f"most of it are {largest}, {parts[largest]:,} bytes: " in hint
    assert hint.endswith("is in " + str(tmp_path / "a.report.html"))
    assert "ranker" not in hint  # there is none
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.report.html", "a.report.json", "reports"]
    report = json.loads((tmp_path / "a.report.json").read_text())
    assert [gate["name"] for gate in report["gates"] if not gate["passed"]] == ["artifact_bytes"]
    suite = parsed(junit.read_bytes())
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("1", "0")
    (failed,) = (case for case in suite.iter("testcase") if case.find("failure") is not None)
    assert failed.attrib["name"] == "gate artifact_bytes"


def test_every_gate_is_a_case_of_the_junit_report(checkpoint, tmp_path):
    junit, report = tmp_path / "gates.xml", tmp_path / "report.json"
    arguments = ("--profile", "exact", "--junit", junit, "--report", report)
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 0
    gates = json.loads(report.read_text())["gates"]
    suite = parsed(junit.read_bytes())
    assert [case.attrib["name"] for case in suite.iter("testcase")] == [
        "export",
        *(f"gate {gate['name']}" for gate in gates),
    ]
    assert (suite.attrib["tests"], suite.attrib["failures"]) == (str(len(gates) + 1), "0")


def test_what_ended_an_export_before_its_gates_is_an_error():
    error = {"code": "export", "message": "no \x00 vectors <here>", "hint": "train again"}
    gate = {"name": "quality", "value": None, "limit": -0.01, "passed": True, "remark": "skipped: 3 users"}
    suite = parsed(junit_report({"error": error, "gates": [gate], "steps": [{"seconds": 1.5}]}))
    assert {name: suite.attrib[name] for name in ("tests", "errors", "failures", "skipped", "time")} == {
        "tests": "2",
        "errors": "1",
        "failures": "0",
        "skipped": "1",
        "time": "1.500",
    }
    found = suite.find("testsuite/testcase/error")
    assert found is not None
    assert (found.attrib["message"], found.text) == ("no ? vectors <here>", "train again")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--min-ann-recall", "1.5"),
        ("--max-ndcg-drop", "-1"),
        ("--max-artifact-bytes", "0"),
        ("--distil", "perhaps"),
        ("--teacher", "me"),
    ],
)
def test_an_option_out_of_its_range_is_named(checkpoint, tmp_path, capsys, option, value):
    assert call("export", checkpoint, "--out", tmp_path / "a", option, value) == 2
    assert option in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
