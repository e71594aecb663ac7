"""The README's marked blocks, run word for word in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_README = Path(__file__).parents[2] / "README.md"
# The commands are those of the page; the shop that `data sample` makes by them is a smaller one.
_SMALL = """#!/bin/sh
case "$1 $2" in "data sample") set -- "$@" --users 300 --items 200 ;; esac
exec {} "$@"
"""
_BLOCK = re.compile(r"<!-- run -->\n```bash\n(.*?)```", re.DOTALL)


def _blocks():
    return _BLOCK.findall(_README.read_text())


def test_there_are_blocks_to_run():
    assert len(_blocks()) == _README.read_text().count("<!-- run -->") >= 1


@pytest.mark.parametrize("block", _blocks())
def test_a_marked_block_runs_in_an_empty_folder(block, tmp_path):
    programs, folder = tmp_path / "programs", tmp_path / "empty"
    for made in (programs, folder):
        made.mkdir()
    (programs / "gnas-serve").write_text(_SMALL.format(Path(sys.executable).with_name("gnas-serve")))
    (programs / "gnas-serve").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sku-" in done.stdout
    assert "300 users, 200 items" in done.stdout
