"""A lock that is taken in turns: it outlives the loss of its file, and touches nobody else's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gnas_serve.artifact.file_lock import TurnLock


def test_what_others_opened_meanwhile_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    lock = TurnLock(folder / "lock")
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError), lock.held():
        pass
    # Whatever is opened next has the number that the lock's file had.
    others = [(tmp_path / f"other-{number}").open("w") for number in range(8)]
    for _ in range(2):
        with pytest.raises(FileNotFoundError), lock.held():
            pass
    lock.close()
    lock.close()
    for other in others:
        os.fstat(other.fileno())
        other.close()


def test_it_can_be_had_again_when_its_folder_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    lock = TurnLock(folder / "lock")
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError), lock.held():
        pass
    folder.mkdir()
    with lock.held():
        assert (folder / "lock").is_file()
    lock.close()
