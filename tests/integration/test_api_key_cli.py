"""`gnas-serve api-key --append`: the file that a server reads grows by a line, and the key alone is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_call import call

from gnas_serve.errors import ConfigError
from gnas_serve.service.auth import ApiKeys


def drawn(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert call("api-key", *arguments) == 0
    return capsys.readouterr().out


def test_the_file_is_made_for_its_owner_alone_and_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "admins"
    ops = drawn(capsys, "ops", "--append", path)
    assert ops.count("\n") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert ops.strip() not in path.read_text()
    made = json.loads(drawn(capsys, "ci", "--append", path, "--output", "json"))
    assert path.read_text().splitlines()[1] == made["line"]
    keys = ApiKeys.read(path)
    assert [keys.caller(key.strip().encode()) for key in (ops, made["key"], "x")] == ["ops", "ci", None]


def test_what_stands_in_a_file_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    path.write_text("# callers, and no end of this line")
    path.chmod(0o640)
    key = drawn(capsys, "shop", "--append", path).strip()
    assert path.read_text().splitlines()[0] == "# callers, and no end of this line"
    assert path.stat().st_mode & 0o777 == 0o640
    assert ApiKeys.read(path).caller(key.encode()) == "shop"


def test_a_name_that_the_file_has_and_a_file_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    drawn(capsys, "shop", "--append", path)
    before = path.read_bytes()
    assert call("api-key", "shop", "--append", path) == 2
    assert "shop has a key already" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.write_text(drawn(capsys, "shop"))
    with pytest.raises(ConfigError, match="line 1: expected a name and a SHA-256") as error:
        ApiKeys.read(path)
    assert "`gnas-serve api-key NAME --append FILE`" in error.value.hint
    before = path.read_bytes()
    assert call("api-key", "other", "--append", path) == 2
    assert path.read_bytes() == before
    assert "--append FILE" in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("api-key", "shop", "--append", tmp_path / "nowhere" / "keys") == 10
    assert capsys.readouterr().out == ""
