"""`gnas-serve feedback`, as it is typed: from a log to data that a training reads."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cli_call import call
from feedback_events import Opened, event

from gnas_serve.feedback.frame import encode

FIRST = "feedback-00000001.log"


def purchases(**fields: Any) -> list[Any]:
    """Four users with five items each, one purchase of which has come twice."""
    events = [
        event(f"{user}-{item}", user_id=100 + user, item_id=f"sku-{item}", timestamp=1.7e9 + item, **fields)
        for user in range(4)
        for item in range(5)
    ]
    return [*events, events[3]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    # A window of one event: the log has the duplicate that a larger one would have found out.
    with Opened(tmp_path / "log", window=1, segment_bytes=600) as opened:
        for some in purchases():
            opened.log.append([some])
    return tmp_path / "log"


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    if path.suffix == ".csv":
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_each_event_once_in_a_file_that_data_validate_reads(
    log: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more" / f"interactions.{form}"
    assert call("feedback", "export", log, out, "--output", "json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["events"], said["duplicates"], said["damaged"], said["kinds"]) == (20, 1, 0, {"purchase": 20})
    rows = read_rows(out)
    first = {"user_id": 100, "item_id": "sku-0", "event": "purchase", "timestamp": 1.7e9}
    assert rows[0] == ({name: str(value) for name, value in first.items()} if form == "csv" else first)
    assert len(rows) == 20
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert call("data", "describe", out.parent, "--output", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["users"], facts["items"], facts["interactions"]) == (4, 5, 20)
    assert facts["time"]["first_date"].startswith("2023-11-14")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_values_are_ratings_and_texts_are_kept_whatever_they_hold(tmp_path: Path, form: str) -> None:
    odd = 'say "a, b"\nand \u2028 é'
    with Opened(tmp_path / "log") as opened:
        opened.log.append(
            [
                event(1, user_id=odd, item_id=2003, event=odd, value=4.5),
                event(2, user_id="x", item_id="2004"),
                event(3, user_id=7, item_id=-5, value=0.1 + 0.2, timestamp=0.1),
            ]
        )
    out = tmp_path / "more" / f"interactions.{form}"
    assert call("feedback", "export", tmp_path / "log", out) == 0
    rows = read_rows(out)
    assert [row["user_id"] for row in rows] == [odd, "x", "7"]
    assert rows[0]["event"] == odd
    if form == "csv":
        assert [row["item_id"] for row in rows] == ["2003", "2004", "-5"]
        assert [row["rating"] for row in rows] == ["4.5", "", repr(0.1 + 0.2)]
    else:
        assert [row["item_id"] for row in rows] == [2003, 2004, -5]
        assert [row["rating"] for row in rows] == [4.5, None, 0.1 + 0.2]
        assert rows[2]["timestamp"] == 0.1


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_was_served_can_be_had_too(tmp_path: Path, form: str) -> None:
    with Opened(tmp_path / "log") as opened:
        opened.log.append([event(1, item_id="sku-1"), *purchases(propensity=0.1, model="v2", value=1.5)])
    out = tmp_path / "more" / f"interactions.{form}"
    assert call("feedback", "export", tmp_path / "log", out, "--served") == 0
    first, second, *_ = read_rows(out)
    assert list(first)[4:] == ["rating", "event_id", "model", "propensity"]
    assert [str(second[name]) for name in ("event_id", "model", "propensity")] == ["e-0-0", "v2", "0.1"]
    assert first["propensity"] in {None, ""}
    assert call("data", "validate", out.parent) == 0  # a training passes over them


def test_ids_that_are_not_of_one_type_are_said_to_be_written_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Opened(tmp_path / "log") as opened:
        opened.log.append([event(1, user_id=7), event(2, user_id="x"), event(3, user_id="007", item_id="8")])
    assert call("feedback", "export", tmp_path / "log", tmp_path / "a.jsonl") == 0
    assert "user_id: 1 were sent as numbers beside others as text" in capsys.readouterr().err
    assert call("feedback", "export", tmp_path / "log", tmp_path / "a.csv") == 0
    assert "user_id: text that looks like numbers, which a.csv cannot tell apart" in capsys.readouterr().err


def test_status_counts_what_there_is_and_changes_nothing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = sorted(log.glob("*.log"))[-1]
    lines = (log / FIRST).read_bytes().splitlines(keepends=True)
    (log / FIRST).write_bytes(b"".join([lines[0], b"x" + lines[1], *lines[2:]]))
    with last.open("ab") as stream:
        stream.write(encode(event("torn"))[:-9])
    before = {path.name: path.read_bytes() for path in log.iterdir()}
    assert call("feedback", "status", log, "--output", "json") == 0
    said, told = capsys.readouterr()
    found = json.loads(said)
    assert (found["records"], found["events"], found["damaged"]) == (20, 19, 1)
    assert found["torn_bytes"] == len(encode(event("torn"))) - 9
    assert (found["segments"], found["size_bytes"]) == (
        len(list(log.glob("*.log"))),
        sum(len(content) for content in before.values()),
    )
    assert (found["first"], found["last"]) == (1.7e9, 1.7e9 + 4)
    assert "damaged lines passed over: 1" in told
    assert "an append that is under way or was interrupted" in told
    assert {path.name: path.read_bytes() for path in log.iterdir()} == before
    assert call("feedback", "status", log) == 0
    assert "2023-11-14 22:13:20 to 2023-11-14 22:13:24" in capsys.readouterr().out


def test_an_empty_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Opened(tmp_path / "log"):
        pass
    assert call("feedback", "status", tmp_path / "log", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["first"] is None
    assert call("feedback", "export", tmp_path / "log", tmp_path / "a.jsonl") == 3
    assert "holds no events yet" in capsys.readouterr().err
    assert not (tmp_path / "a.jsonl").exists()


def test_what_is_no_log_and_what_cannot_be_made(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / FIRST).write_text("mine")
    cases: list[tuple[int, str, tuple[Path, ...]]] = [
        (2, "does not exist", (tmp_path / "none", tmp_path / "a.jsonl")),
        (2, "is a file, not a folder", (tmp_path / "file", tmp_path / "a.jsonl")),
        (2, "holds no feedback log", (tmp_path / "empty", tmp_path / "a.jsonl")),
        (8, "is no segment of a feedback log", (tmp_path / "foreign", tmp_path / "a.jsonl")),
        (2, "already exists", (log, tmp_path / "file.jsonl")),
        (2, "unknown form '.txt'", (log, tmp_path / "a.txt")),
        (10, "cannot write", (log, tmp_path / "file" / "a.jsonl")),
    ]
    (tmp_path / "file.jsonl").write_text("mine")
    for code, told, (source, out) in cases:
        assert call("feedback", "export", source, out) == code, told
        said = capsys.readouterr()
        assert told in said.err
        assert "hint:" in said.err
        assert "Traceback" not in said.err
        assert not said.out
    assert call("feedback", "status", tmp_path / "none") == 2
    assert (tmp_path / "file.jsonl").read_text() == (tmp_path / "file").read_text() == "mine"
    assert not list(tmp_path.glob("a.*"))


def test_no_room_for_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Opened(tmp_path / "log") as opened:
        opened.log.append([event(number) for number in range(500)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        code = call("feedback", "export", tmp_path / "log", tmp_path / "a" / "a.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 10
    assert "cannot write" in capsys.readouterr().err
    assert list((tmp_path / "a").iterdir()) == []


def test_a_log_is_read_without_the_packages_of_training(log: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'polars', 'scipy', 'onnx', 'optuna', 'gnas_search', 'gnas_export'):\n"
        "    sys.modules[name] = None\n"
        "from gnas_serve.cli.app import main\n"
        "main(sys.argv[1:])\n"
    )
    for out, wanted in (("a.csv", 0), ("a.jsonl", 0), ("a.parquet", 9)):
        command = [sys.executable, "-c", code, "feedback", "export", str(log), str(tmp_path / out)]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
        assert done.returncode == wanted, done.stderr
    assert "[search]" in done.stderr
