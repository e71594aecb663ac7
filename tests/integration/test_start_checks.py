"""What would end every worker is said before there is one: where it is, and what to do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import ConfigError, IntegrityError, StorageError
from gnas_serve.service.deployment import STATE, Deployment
from gnas_serve.service.settings import Settings
from gnas_serve.service.start_checks import check_start


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "versions"
    folder.mkdir()
    for name in ("1", "2"):
        write_tiny_artifact(folder / name)
    (folder / STATE).mkdir()
    (folder / STATE / "deployment.json").write_text(json.dumps(Deployment("2", revision=3).to_json()))
    return Settings(folder / "1", versions=folder, feedback=tmp_path / "log")


def test_what_is_right_is_started_with(settings: Settings) -> None:
    check_start(settings)
    assert settings.feedback is not None
    assert settings.feedback.stat().st_mode & 0o777 == 0o700


def test_an_artifact_that_is_gone(settings: Settings) -> None:
    assert settings.versions is not None
    shutil.rmtree(settings.versions / "2")
    with pytest.raises(ConfigError, match="names '2', and there is no such artifact") as error:
        check_start(settings)
    assert "put its folder back" in (error.value.hint or "")


def test_versions_that_are_nowhere(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="versions-of-old: there is no such folder"):
        check_start(replace(settings, versions=tmp_path / "versions-of-old"))


def test_an_artifact_that_is_damaged(settings: Settings) -> None:
    assert settings.versions is not None
    largest = max((settings.versions / "2").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="versions/2/"):
        check_start(settings)


def test_a_file_where_feedback_is_to_be_kept(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file: the feedback log cannot be used") as error:
        check_start(replace(settings, feedback=tmp_path / "file"))
    assert error.value.exit_code == 10


def test_a_folder_of_everybody(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StorageError, match="writable by others"):
        check_start(replace(settings, feedback=tmp_path / "open"))
