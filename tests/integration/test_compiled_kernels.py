"""How the kernels come to be compiled where the package is installed, and what happens where they cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gnas_serve import kernels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a check out"  # with spaces
    shutil.copytree(ROOT / "gnas_serve" / "kernels", folder / "gnas_serve" / "kernels")
    shutil.copy(ROOT / "hatch_build.py", folder)
    return folder


def compiled(folder, **environment):
    return subprocess.run(
        [sys.executable, "hatch_build.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def files(folder):
    return sorted(path.name for path in (folder / "gnas_serve" / "kernels").iterdir() if path.name != "__pycache__")


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_they_are_compiled_without_a_warning(checkout):
    before = files(checkout)
    (checkout / "gnas_serve" / "kernels" / "_native.abi3.so").unlink()
    done = compiled(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(checkout) == before
    done = subprocess.run(
        [sys.executable, "-c", "import _native; print(_native.level())"],
        cwd=checkout / "gnas_serve" / "kernels",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() in kernels.LEVELS, done.stderr


@pytest.mark.parametrize(
    ("compiler", "said"), [("/bin/false", ""), ("/nowhere/cc", "No such file"), ("cc -fno-such-flag", "no-such-flag")]
)
def test_without_a_compiler_that_works_there_are_none_and_that_is_said(checkout, compiler, said):
    """What was there before is gone, too: it may be of other sources."""
    done = compiled(checkout, CC=compiler)
    assert done.returncode == 1
    assert "no compiled kernels, numpy will do their work more slowly" in done.stderr
    assert said in done.stderr
    assert "_native.abi3.so" not in files(checkout)
    assert not [name for name in files(checkout) if name.startswith("tmp")]
