"""`gnas-serve export | inspect | verify` through the real command line: what they print and how they refuse."""

import json
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest
from cli_call import call
from planted_checkpoint import planted_checkpoint

from gnas_export import pipeline
from gnas_export.decisions import Decisions
from gnas_export.profile import ExportProfile
from gnas_serve.errors import StorageError

CHECKPOINT_FILES = ("manifest.json", "selection.safetensors", "final.safetensors", "tables.safetensors")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint"
    planted_checkpoint().save(path)
    return path


@pytest.fixture(scope="module")
def artifact(checkpoint):
    path = checkpoint.parent / "artifact"
    assert call("export", checkpoint, "--out", path, "--profile", "exact") == 0
    return path


def copied(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_export_inspect_verify(checkpoint, artifact, tmp_path, capsys):
    report = tmp_path / "report.json"
    out = tmp_path / "a"
    assert call("export", checkpoint, "--out", out, "--ranker", "never", "--report", report, "--output", "json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["artifact"] == str(out)
    assert all(gate["passed"] for gate in made["gates"])
    assert report.read_bytes() == (out / "report.json").read_bytes()

    assert call("inspect", out, "--output", "json") == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["version"] == made["version"]
    assert seen["files"] == {path.name: path.stat().st_size for path in out.iterdir()}

    assert call("verify", out, "--output", "json") == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified["verified"] is True
    assert verified["version"] == made["version"]


def test_where_the_reports_lie_is_said(checkpoint, tmp_path, capsys):
    junit, out = tmp_path / "gates.xml", tmp_path / "a"
    arguments = ("--profile", "exact", "--report", tmp_path / "r.json", "--junit", junit)
    assert call("export", checkpoint, "--out", out, *arguments) == 0
    said = capsys.readouterr().err
    reports = [out / "report.json", out / "report.html", tmp_path / "r.json", junit, tmp_path / "r.html"]
    assert said.endswith(f"export: reports: {', '.join(map(str, reports))}\n")
    assert all(path.is_file() for path in reports)
    assert "training the learned ranker" not in said
    assert "timing the forms" not in said


def test_the_text_form_is_for_people(artifact, capsys):
    assert call("inspect", artifact) == 0
    said = capsys.readouterr().out
    assert "ranker.onnx" in said
    assert "flat" in said
    assert "index_recall" in said
    size = json.loads((artifact / "report.json").read_text())["facts"]["artifact_bytes"]["size_bytes"]
    assert f"{size:,}" in said
    assert "artifact bytes: without manifest, card, SBOM, checksums, reports" in " ".join(said.split())
    assert f"| artifact bytes | {size:,}: " in (artifact / "MODEL_CARD.md").read_text()
    assert call("verify", artifact) == 0
    assert "is whole" in capsys.readouterr().out


def test_a_dry_run(checkpoint, tmp_path, capsys):
    arguments = ("--profile", "exact", "--dry-run", "--output", "json")
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["artifact"], result["dry_run"]) == (None, True)
    assert [step["name"] for step in result["forecast"]["steps"]] == [
        *(step.__name__ for step in pipeline.STEPS),
        "package",
    ]
    assert "export: choosing the index\n" in printed.err
    assert "GiB more than now" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_warns_of_more_memory_than_there_is(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gnas_search.memory.available_bytes", lambda: 0)
    assert call("export", checkpoint, "--out", tmp_path / "a", "--profile", "exact", "--dry-run") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "GiB more than now, and 0.0 GiB are there" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--profile", "balancd"], 2, "did you mean 'balanced'"),
        (["--ranker", "allways"], 2, "did you mean 'always'"),
        (["--profile", "exact", "--ranker", "always"], 2, "no learned ranker"),
        (["--decisions", "nowhere.json"], 2, "no such decisions file"),
        (["--seed", "-1"], 2, "--seed"),
        (["--max-latency-us", "1ms"], 2, "'1ms' is no number of microseconds"),
        (["--max-artifact-bytes", "2MB"], 2, "'2MB' is no whole number of bytes"),
        (["--dry-run", "--report", "r.json"], 2, "leave --report and --junit out"),
        (["--dry-run", "--junit", "gates.xml"], 2, "leave --report and --junit out"),
    ],
)
def test_usage(checkpoint, tmp_path, capsys, arguments, code, said):
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_output_folder_exists(checkpoint, tmp_path, capsys):
    assert call("export", checkpoint, "--out", tmp_path) == 2
    assert "already exists" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none(artifact, tmp_path):
    assert call("export", tmp_path / "nowhere", "--out", tmp_path / "a") == 2
    assert call("export", artifact, "--out", tmp_path / "a") == 2
    assert call("inspect", tmp_path / "nowhere") == 2
    assert call("verify", tmp_path / "nowhere") == 2


# A folder without a manifest is no checkpoint at all: that is exit 2, tested above.
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in CHECKPOINT_FILES
        for damage in ("truncated", "flipped", "removed")
        if (name, damage) != ("manifest.json", "removed")
    ],
)
def test_a_damaged_checkpoint(checkpoint, tmp_path, capsys, name, damage):
    folder = copied(checkpoint, tmp_path / "checkpoint")
    harm(folder / name, damage)
    assert call("export", folder, "--out", tmp_path / "a") == 8
    assert name in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def harm(path, damage):
    raw = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(raw[:-1])
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)


def test_a_file_that_the_checkpoint_does_not_list(checkpoint, tmp_path):
    folder = copied(checkpoint, tmp_path / "checkpoint")
    (folder / "more.bin").write_bytes(b"")
    assert call("export", folder, "--out", tmp_path / "a") == 8


def test_an_artifact_altered_by_one_byte(artifact, tmp_path, capsys):
    folder = copied(artifact, tmp_path / "artifact")
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("report."))
    assert {"manifest.json", "decisions.json", "ranker.onnx", "items.vectors.npy"} <= set(names)
    for name in names:
        original = (folder / name).read_bytes()
        for damage in ("flipped", "truncated"):
            harm(folder / name, damage)
            assert call("verify", folder) == 8, f"{name} {damage}"
            assert name in capsys.readouterr().err
            (folder / name).write_bytes(original)
    harm(folder / "report.json", "flipped")
    assert call("verify", folder) == 0


def test_a_newer_format_version(artifact, checkpoint, tmp_path, capsys):
    from gnas_serve.artifact.store import write_manifest

    for source, kind, command in ((artifact, "artifact", "verify"), (checkpoint, "checkpoint", "export")):
        folder = copied(source, tmp_path / kind)
        body = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").unlink()
        for key in ("kind", "format_version", "files", "digest"):
            del body[key]
        write_manifest(folder, kind=kind, format_version=99, body=body)
        options = ("--out", tmp_path / "a") if command == "export" else ()
        assert call(command, folder, *options) == 8
        assert "newer" in capsys.readouterr().err


def test_a_breached_gate_is_exit_6_with_a_report(checkpoint, tmp_path, capsys):
    profile = tmp_path / "strict.toml"
    profile.write_text(
        'index = "ivf"\ncandidates = 20\n[gates]\nindex_recall = 0.01\ntop_recall = 0.01\nquality_loss = 0.0\n'
    )
    arguments = ("--profile", profile, "--ranker", "never", "--report", tmp_path / "r.json")
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 6
    assert "gate quality" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is False
    assert not (tmp_path / "a").exists()


@contextmanager
def small_files():
    """No file of this process may grow beyond 4 kB: what a full disk does, at a known place.

    Only within the block: pytest's own output may go to a file that is larger already.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Without labels nothing is rehearsed, so that the first file that does not fit is one of the artifact's own.
@pytest.mark.parametrize("valid_per_user", [0, 3])
def test_no_room_for_the_artifact(tmp_path, valid_per_user):
    trained = planted_checkpoint(valid_per_user=valid_per_user)
    profile = ExportProfile.load("exact")
    decisions = Decisions(profile, "never")
    with pytest.raises(StorageError, match="cannot write") as caught, small_files():
        pipeline.export(trained, profile, tmp_path / "a", ranker="never", decisions=decisions)
    assert caught.value.exit_code == 10
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_checkpoint(tmp_path):
    trained = planted_checkpoint()
    with pytest.raises(StorageError, match="cannot write"), small_files():
        trained.save(tmp_path / "checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_report(checkpoint, tmp_path, capsys):
    arguments = ("--profile", "exact", "--report", "/dev/full")
    assert call("export", checkpoint, "--out", tmp_path / "a", *arguments) == 10
    assert "No space left" in capsys.readouterr().err


def test_inspect_and_verify_need_no_training_code(artifact):
    code = (
        "import sys\n"
        "for name in ('torch', 'polars', 'scipy', 'onnx', 'optuna', 'gnas_search', 'gnas_export'):\n"
        "    sys.modules[name] = None\n"
        "from gnas_serve.cli.artifact import inspect, verify\n"
        "from gnas_serve.cli.console import Output\n"
        "from pathlib import Path\n"
        "inspect(Path(sys.argv[1]), Output.json)\n"
        "verify(Path(sys.argv[1]), Output.json)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(artifact)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
