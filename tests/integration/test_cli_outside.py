"""The world outside the commands: paths that cannot be, streams that are closed or full, damaged studies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from gnas_serve.cli import app as front

LONG = "x" * 300
GOOD_CSV = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user in range(1, 9) for item in range(1, 9))
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as caught:
            front.main([str(argument) for argument in arguments])
        return int(caught.value.code or 0), capsys.readouterr().err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "interactions.csv").write_text(GOOD_CSV)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "validate", LONG],
        ["data", "sample", LONG],
        ["search", LONG, "--out", "study"],
        ["search", "DATA", "--out", LONG],
        ["search", "DATA", "--out", "study", "--space", f"{LONG}.toml"],
        ["train", "DATA", "--out", "checkpoint", "--spec", LONG],
        ["export", LONG, "--out", "artifact"],
        ["export", "checkpoint", "--out", "artifact", "--decisions", LONG],
        ["export", "checkpoint", "--out", "artifact", "--profile", f"{LONG}.toml"],
        ["recommend", LONG, "--user", "1"],
        ["build", LONG],
        ["study", "leaderboard", LONG],
    ],
    ids=" ".join,
)
def test_path_too_long(run: Run, data: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    code, err = run(*(str(data) if argument == "DATA" else argument for argument in arguments))
    assert (code, "Traceback" in err, "too long" in err) == (10, False, True), err
    assert LONG in err.replace("\n", "")


def test_a_loop_of_links(run: Run, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    code, err = run("export", tmp_path / "none", "--out", tmp_path / "loop" / "x")
    assert (code, "Traceback" in err) == (10, False), err
    assert str(tmp_path / "loop") in err


def test_end_of_file_inside_a_command_is_no_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise EOFError("no more bytes")

    monkeypatch.setattr(front, "emit", ended)
    code, err = run("version")
    assert code == front.EXIT_BUG
    assert "no more bytes" in err
    assert "this is a bug" in err


@pytest.mark.parametrize(
    ("redirection", "expected", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("> /dev/full", 10, "cannot write the result"),
        ("> /dev/full 2> /dev/full", 10, ""),
    ],
)
@pytest.mark.parametrize("command", ["version", "version --output json"])
def test_closed_and_full_streams(command: str, redirection: str, expected: int, said: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    line = f"'{sys.executable}' -m gnas_serve.cli {command} {redirection}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_full_error_stream_and_help_to_a_full_stream() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for rest, expected in (("inspect none 2> /dev/full", 2), ("--help > /dev/full", 10)):
        line = f"'{sys.executable}' -m gnas_serve.cli {rest}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == expected, (rest, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "sample", "out"],
        ["search", "data", "--out", "out"],
        ["train", "data", "--out", "out"],
        ["export", "checkpoint", "--out", "out"],
        ["bench", "artifact"],
        ["quickstart"],
    ],
    ids=" ".join,
)
def test_a_seed_has_32_bits(run: Run, arguments: list[str]) -> None:
    code, err = run(*arguments, "--seed", 2**32)
    assert code == front.EXIT_USAGE
    assert "4294967295" in err


@pytest.mark.parametrize("arguments", [["search", "--out", ""], ["train", "--out", ""]], ids=" ".join)
def test_an_empty_path(run: Run, data: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    code, err = run(command, data, *rest)
    assert code == front.EXIT_USAGE
    assert "the path is empty" in err


def test_an_empty_path_of_an_artifact(run: Run, data: Path) -> None:
    code, err = run("export", data, "--out", "")
    assert (code, "the path is empty" in err) == (front.EXIT_USAGE, True), err


def test_files_nested_too_deeply(run: Run, data: Path) -> None:
    (data / "deep.toml").write_text(f"x = {'[' * 3000}{']' * 3000}")
    (data / "deep.json").write_text(f'{{"layers": {"[" * 99000}}}')
    toml, spec = data / "deep.toml", data / "deep.json"
    for arguments, named in (
        (["search", data, "--out", data / "s", "--space", toml], toml),
        (["train", data, "--out", data / "c", "--spec", spec], spec),
        (["export", data, "--out", data / "a", "--profile", toml], toml),
        (["export", data, "--out", data / "a", "--decisions", spec], spec),
    ):
        code, err = run(*arguments)
        assert code == front.EXIT_USAGE, (arguments, err)
        assert f"{named}" in err.replace("\n", "")
    (data / "dataset.toml").write_text(f"x = {'[' * 3000}{']' * 3000}")
    code, err = run("data", "validate", data)
    assert (code, "dataset.toml" in err) == (front.EXIT_USAGE, True), err


def test_a_row_nested_too_deeply(run: Run, data: Path) -> None:
    (data / "interactions.csv").unlink()
    line = f'{{"user_id": 1, "item_id": 2, "x": {"[" * 20_000}{"]" * 20_000}}}\n'
    (data / "interactions.jsonl").write_text(line)
    code, err = run("data", "validate", data)
    assert (code, "row 1" in err) == (3, True), err


@pytest.mark.parametrize("dtype", [pl.Datetime("ms"), pl.Datetime("ms", "UTC"), pl.Date], ids=str)
def test_times_out_of_range(run: Run, tmp_path: Path, dtype: pl.DataType) -> None:
    huge = 2**31 - 2 if dtype == pl.Date else 2**62
    physical = pl.Series([0, *[huge] * 39], dtype=pl.Int32 if dtype == pl.Date else pl.Int64)
    frame = pl.DataFrame({"user_id": [i % 5 for i in range(40)], "item_id": [i % 8 for i in range(40)]})
    frame.with_columns(physical.cast(dtype).alias("timestamp")).write_parquet(tmp_path / "interactions.parquet")
    code, err = run("data", "validate", tmp_path)
    assert (code, "timestamp in row 2" in err) == (3, True), err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("user_id;item_id\n1;2\n3;4\n", "separated by ';'"),
        ("user_id,item_id,user_id\n1,2,3\n", "'user_id' twice"),
        (f"user_id,item_id,rating\n1,2,{'x' * 5000}\n3,4,5\n", "rating in row 1"),
    ],
)
def test_messages_about_csv(run: Run, data: Path, content: str, said: str) -> None:
    (data / "interactions.csv").write_text(content)
    code, err = run("data", "validate", data)
    assert (code, said in err.replace("\n", " ")) == (3, True), err
    assert len(err) < 600


def test_byte_order_marks_and_capitals_are_read(run: Run, data: Path) -> None:
    rows = [
        {"user_id": user, "item_id": item, "split": ("TRAIN", "Train", "Test")[item % 3]}
        for user in range(1, 9)
        for item in range(1, 9)
    ]
    (data / "interactions.csv").unlink()
    (data / "interactions.jsonl").write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in rows))
    (data / "dataset.toml").write_text('\ufeffid_type = "text"\n')
    code, err = run("data", "validate", data)
    assert code == 0, err


def test_split_seed_has_32_bits(run: Run, data: Path) -> None:
    (data / "dataset.toml").write_text(f"split_seed = {2**32}\n")
    code, err = run("data", "validate", data)
    assert (code, "split_seed" in err) == (front.EXIT_USAGE, True), err
