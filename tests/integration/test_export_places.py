"""Where an export may write is settled before any work, and a failure to report never hides what failed."""

from dataclasses import replace
from pathlib import Path

import pytest
from export_runs import LIMITS, PROFILE, run
from planted_checkpoint import planted_checkpoint

from gnas_export.profile import ExportProfile
from gnas_serve.errors import ConfigError, QualityGateError, StorageError


def refused(tmp_path, kind, said, out="a", **options):
    steps = []
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=said):
        run(planted_checkpoint(), tmp_path / out, ranker="never", on_step=steps.append, **options)
    assert steps == []
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_exists(tmp_path):
    (tmp_path / "there").mkdir()
    refused(tmp_path, ConfigError, "already exists", out="there")


def test_a_report_inside_the_artifact(tmp_path):
    refused(tmp_path, ConfigError, "inside --out", report_path=tmp_path / "a" / "report.json")


def test_a_junit_report_inside_the_artifact_or_in_the_place_of_the_other(tmp_path):
    refused(tmp_path, ConfigError, "--junit .* inside --out", junit_path=tmp_path / "a" / "junit.xml")
    same = tmp_path / "r.json"
    refused(tmp_path, ConfigError, "is the report, too", report_path=same, junit_path=same)
    refused(tmp_path, ConfigError, "is the report, too", junit_path=tmp_path / "a.report.json")
    refused(tmp_path, ConfigError, "is the page beside", report_path=same, junit_path=tmp_path / "r.html")


def test_a_report_that_is_a_folder(tmp_path):
    (tmp_path / "reports").mkdir()
    refused(tmp_path, ConfigError, "is a folder", report_path=tmp_path / "reports")
    refused(tmp_path, ConfigError, "is a folder", junit_path=tmp_path / "reports")
    (tmp_path / "a.report.json").mkdir()
    refused(tmp_path, ConfigError, "is a folder")


def test_another_file_is_not_written_over(tmp_path):
    (tmp_path / "data.csv").write_text("user,item\n")
    refused(tmp_path, ConfigError, "no report", report_path=tmp_path / "data.csv")
    refused(tmp_path, ConfigError, "no report", junit_path=tmp_path / "data.csv")
    (tmp_path / "a.report.json").write_text("notes")
    refused(tmp_path, ConfigError, "no report")
    (tmp_path / "r.html").write_text("<p>notes")
    refused(tmp_path, ConfigError, "r.html is there, and no report", report_path=tmp_path / "r.json")


def test_a_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "file").write_text("")
    refused(tmp_path, StorageError, "is a file", report_path=tmp_path / "file" / "deeper" / "r.json")
    refused(tmp_path, StorageError, "is a file", out="file/a")


def test_places_without_permission(tmp_path, monkeypatch):
    # Tests may run as root, whom no mode stops: the one question to the system is answered as for others.
    monkeypatch.setattr("gnas_export.report.places.os.access", lambda path, mode: False)
    refused(tmp_path, StorageError, "permission denied")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc, where nothing can be made")
@pytest.mark.parametrize("option", ["report_path", "junit_path"])
def test_folders_in_which_nothing_can_be_made(tmp_path, option):
    refused(tmp_path, StorageError, "cannot write /proc/x/y.json: ", **{option: Path("/proc/x/y.json")})


def test_folders_above_the_report_are_made(tmp_path):
    exact = ExportProfile.load("exact")
    made = run(planted_checkpoint(), tmp_path / "a", exact, "never", report_path=tmp_path / "b" / "c" / "r.json")
    assert (tmp_path / "b" / "c" / "r.json").read_bytes() == (made.path / "report.json").read_bytes()


def test_a_breached_gate_stays_what_is_told_where_its_report_does_not_fit(tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError, match="gate quality") as caught:
        run(planted_checkpoint(), tmp_path / "a", blunt, ranker="never", report_path=Path("/dev/full"))
    assert "the report could not be written" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_no_artifact_without_the_report_that_was_asked_for(tmp_path):
    exact = ExportProfile.load("exact")
    with pytest.raises(StorageError, match="/dev/full") as caught:
        run(planted_checkpoint(), tmp_path / "a", exact, "never", report_path=Path("/dev/full"))
    assert "could not be written" not in caught.value.hint  # that is what ended it: once is enough
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("package.json", '{"name": "a"}', {"report_path": "package.json"}),
        ("index.html", "<!doctype html><p>home</p>", {"report_path": "index.json"}),
        ("pom.xml", '<?xml version="1.0"?><project/>', {"junit_path": "pom.xml"}),
    ],
)
def test_files_of_the_same_kind_that_are_no_reports_stay(tmp_path, name, content, places):
    (tmp_path / name).write_text(content)
    refused(tmp_path, ConfigError, "no report", **{option: tmp_path / path for option, path in places.items()})
    assert (tmp_path / name).read_text() == content


def test_an_earlier_failure_does_not_stay_beside_the_artifact(tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError):
        run(planted_checkpoint(), tmp_path / "a", blunt, "never")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.report.html", "a.report.json"]
    run(planted_checkpoint(), tmp_path / "a", ExportProfile.load("exact"), "never")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
