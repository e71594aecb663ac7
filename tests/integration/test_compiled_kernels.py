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
        [sys.executable, "-c", "import _native; print(_native.level(), _native.SOURCES)"],
        cwd=checkout / "gnas_serve" / "kernels",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [kernels.described(), kernels.native.SOURCES], done.stderr


def test_a_checkout_that_moved_on_since_it_was_installed_computes_in_numpy(checkout):
    source = checkout / "gnas_serve" / "kernels" / "src" / "search.c"
    for name in ("__init__.py",):
        (checkout / "gnas_serve" / name).write_text("")
    ask = [
        sys.executable,
        "-P",
        "-c",
        "import sys; sys.path.insert(0, '.'); import gnas_serve.kernels as k; print(k.described())",
    ]
    said = []
    for change in ("", "/* newer */"):
        source.write_text(source.read_text() + change)
        said.append(subprocess.run(ask, cwd=checkout, capture_output=True, text=True, timeout=60).stdout.strip())
    assert said == [kernels.described(), "numpy"]


@pytest.mark.parametrize(
    ("compiler", "said"), [("/bin/false", ""), ("/nowhere/cc", "No such file"), ("cc -fno-such-flag", "no-such-flag")]
)
def test_without_a_compiler_that_works_there_are_none_and_that_is_said(checkout, compiler, said):
    (checkout / "gnas_serve" / "kernels" / "_native.abi3.so").unlink(missing_ok=True)
    done = compiled(checkout, CC=compiler)
    assert done.returncode == 1
    assert "no compiled kernels, numpy will do their work more slowly" in done.stderr
    assert said in done.stderr
    assert "_native.abi3.so" not in files(checkout)
    assert not [name for name in files(checkout) if name.startswith("tmp")]
