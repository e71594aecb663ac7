"""Compiles the kernels when the package is built or installed, where there is a compiler; without one they are numpy's.

By hand, for one's own checkout: ``python hatch_build.py``.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "gnas_serve" / "kernels" / "src"
MODULE = ROOT / "gnas_serve" / "kernels" / "_native.abi3.so"
# No fused multiplication and addition: numbers are to be the same on every processor. Overflow is defined.
FLAGS = ("-std=c11", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fwrapv", "-fvisibility=hidden", "-Wall")


def compiled() -> Path | None:
    """Compile the kernels into the source tree.

    Returns
    -------
    Path or None
        None where that is not possible here: what is missing is said on stderr.
    """
    try:
        reason = "not on Windows" if sys.platform == "win32" else _made()
    except OSError as error:  # a checkout that is not to be written
        reason = str(error)
    if not reason:
        return MODULE
    sys.stderr.write(f"gnas-serve: no compiled kernels, numpy will do their work more slowly: {reason}\n")
    return None


def digest() -> str:
    """Name the sources by their content, as `gnas_serve.kernels` does: what was compiled of others is not taken."""
    found = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.[ch]")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _made() -> str:
    """Make the module; say why not, if so."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    shared = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    headers = sysconfig.get_paths()["include"]
    with tempfile.TemporaryDirectory(dir=MODULE.parent) as folder:
        made = Path(folder) / MODULE.name
        sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
        said = f'-DSOURCES="{digest()}"'
        command = [*compiler, *FLAGS, said, *shared, f"-I{headers}", *sources, "-o", str(made), "-lm"]
        reason = _failure(command)
        if not reason:
            made.replace(MODULE)  # at once: another process may be loading the one before
    return reason


def _failure(command: list[str]) -> str:
    """Run a compiler; say why it made nothing, if so."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return (done.stderr.strip() or f"{command[0]} ended with {done.returncode}") if done.returncode else ""


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    pass
else:

    class CompiledKernels(BuildHookInterface):  # type: ignore[type-arg]
        """Puts the compiled kernels into the wheel, which is one for this platform then."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's interface
            """Compile before files are gathered."""
            if self.target_name != "wheel" or compiled() is None:
                return
            build_data["artifacts"].append(str(MODULE.relative_to(ROOT)))
            build_data["pure_python"] = False
            system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{system}"


if __name__ == "__main__":
    sys.exit(0 if compiled() else 1)
