"""The README's marked blocks, run word for word in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"<!-- run -->\n```bash\n(.*?)```", re.DOTALL)


def _blocks():
    return _BLOCK.findall(_README.read_text())


def test_there_are_blocks_to_run():
    assert len(_blocks()) == _README.read_text().count("<!-- run -->") >= 1


@pytest.mark.parametrize("block", _blocks())
def test_a_marked_block_runs_in_an_empty_folder(block, tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sku-" in done.stdout
