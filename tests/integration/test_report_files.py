"""The reports of one export agree with each other and with what happened, whichever of them does not fit."""

import json
import resource
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from export_runs import LIMITS, PROFILE, run
from planted_checkpoint import planted_checkpoint

from gnas_export.profile import ExportProfile
from gnas_serve.errors import QualityGateError, StorageError

FULL = Path("/dev/full")
EXACT = ExportProfile.load("exact")


@contextmanager
def small_files(size_bytes):
    """No file of this process may grow beyond so many bytes: what a full disk does, at a known place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def ended(path):
    suite = ElementTree.fromstring(path.read_bytes())  # noqa: S314  # written a moment ago
    return suite.attrib["failures"], suite.attrib["errors"]


def test_no_report_says_passed_where_the_junit_report_does_not_fit(tmp_path):
    places = {"report_path": tmp_path / "r.json", "junit_path": FULL}
    with pytest.raises(StorageError, match="/dev/full"):
        run(planted_checkpoint(), tmp_path / "a", EXACT, "never", **places)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json"]
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["passed"], report["error"]["code"], report["artifact"]) == (False, "storage", {})
    assert "/dev/full" in report["error"]["message"]
    assert "Failed: storage." in (tmp_path / "r.html").read_text()
    assert FULL.is_char_device()


def test_the_junit_report_says_so_where_the_report_does_not_fit(tmp_path):
    junit = tmp_path / "gates.xml"
    with pytest.raises(StorageError, match="/dev/full"):
        run(planted_checkpoint(), tmp_path / "a", EXACT, "never", report_path=FULL, junit_path=junit)
    assert ended(junit) == ("0", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["gates.xml"]


def test_an_earlier_report_that_cannot_be_replaced_does_not_stay(tmp_path):
    """It tells of another export, and beside what this one says it would pass for its own."""
    junit, report = tmp_path / "gates.xml", tmp_path / "r.json"
    run(planted_checkpoint(), tmp_path / "a", EXACT, "never", report_path=report, junit_path=junit)
    assert ended(junit) == ("0", "0")
    limit = junit.stat().st_size + 600
    assert report.stat().st_size > limit
    with pytest.raises(StorageError) as caught, small_files(limit):
        run(planted_checkpoint(), tmp_path / "b", EXACT, "never", report_path=report, junit_path=junit)
    assert "the report could not be written" in caught.value.hint
    assert ended(junit) == ("0", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "gates.xml"]


def test_a_breached_gate_is_told_by_the_reports_that_fit(tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError) as caught:
        run(planted_checkpoint(), tmp_path / "a", blunt, "never", report_path=FULL, junit_path=tmp_path / "gates.xml")
    assert "the report could not be written" in caught.value.hint
    assert ended(tmp_path / "gates.xml") == ("1", "0")


def test_a_report_without_the_ending_json_has_no_page(tmp_path):
    made = run(planted_checkpoint(), tmp_path / "a", EXACT, "never", report_path=tmp_path / "report")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "report"]
    assert (made.path / "report.html").is_file()


def test_a_report_through_a_link_is_written_where_it_leads(tmp_path):
    (tmp_path / "r.json").symlink_to(tmp_path / "elsewhere")
    run(planted_checkpoint(), tmp_path / "a", EXACT, "never", report_path=tmp_path / "r.json")
    assert (tmp_path / "r.json").is_symlink()
    assert json.loads((tmp_path / "elsewhere").read_text())["passed"]
