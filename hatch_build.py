"""Compiles the kernels when the package is built or installed, where there is a compiler; without one they are numpy's.

By hand, for one's own checkout: ``python hatch_build.py``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "gnas_serve" / "kernels" / "src"
MODULE = ROOT / "gnas_serve" / "kernels" / "_native.abi3.so"
CHECKSUM = MODULE.with_name(f"{MODULE.name}.sha256")
"""Of the bytes of the module, as `sha256sum -c` reads it: a file that has others is not loaded."""
# No fused multiplication and addition: numbers are to be the same on every processor. Overflow is defined.
FLAGS = ("-std=c11", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fwrapv", "-fvisibility=hidden", "-Wall")
_UNIVERSAL = ["arm64", "x86_64"]
_FIRST_ARM = (11, 0)  # of macOS


def compiled() -> Path | None:
    """Compile the kernels into the source tree.

    Returns
    -------
    Path or None
        None where that is not possible here: what is missing is said on stderr.
    """
    try:
        with tempfile.TemporaryDirectory(dir=MODULE.parent) as folder:
            if not made(Path(folder)):
                return None
            _put(Path(folder))
    except OSError as error:  # a checkout that is not to be written
        _say_none(str(error))
        return None
    return MODULE


def _put(folder: Path) -> None:
    """Put the module in the place of the one before, each file at once: another process may be loading that.

    At every moment, should it end here, the checksum is also one of the module that is there.
    """
    fresh = (folder / CHECKSUM.name).read_text()
    both = folder / f"both.{CHECKSUM.name}"
    both.write_text(fresh + (CHECKSUM.read_text() if CHECKSUM.exists() else ""))
    both.replace(CHECKSUM)
    (folder / MODULE.name).replace(MODULE)
    (folder / CHECKSUM.name).replace(CHECKSUM)


def made(folder: Path) -> bool:
    """Compile the kernels into a folder, with their checksum; say on stderr why not, if so."""
    reason = "not on Windows"
    if sys.platform != "win32":
        try:
            reason = _compile(folder / MODULE.name)
        except (OSError, ValueError) as error:
            reason = str(error)
    if reason:
        _say_none(reason)
        return False
    found = hashlib.sha256((folder / MODULE.name).read_bytes()).hexdigest()
    (folder / CHECKSUM.name).write_text(f"{found}  {MODULE.name}\n")
    return True


def digest() -> str:
    """Name the sources by their content, as `gnas_serve.kernels` does: what was compiled of others is not taken."""
    found = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.[ch]")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def built_for(platform: str, archflags: str) -> tuple[str, tuple[str, ...]]:
    """Tell what is compiled for.

    Parameters
    ----------
    platform
        As of :func:`sysconfig.get_platform`; of macOS it names the processors of the interpreter, whatever is compiled.
    archflags
        The variable ``ARCHFLAGS`` by which whoever builds for macOS names others: ``-arch arm64``.

    Returns
    -------
    tag
        Of the wheel: its platform.
    flags
        By which the compiler makes just that.

    Raises
    ------
    ValueError
        If no wheel is for such processors together.
    """
    system = platform.replace("-", "_").replace(".", "_")
    if not platform.startswith("macosx-"):
        return system, ()
    release, _, processor = platform.removeprefix("macosx-").partition("-")
    wanted = sorted(set(re.findall(r"-arch[ =]+(\S+)", archflags)))
    wanted = wanted or (_UNIVERSAL if processor == "universal2" else [processor])
    if len(wanted) > 1 and wanted != _UNIVERSAL:
        raise ValueError(f"no wheel is for {' and '.join(wanted)}")
    major, minor = (int(part) for part in f"{release}.0".split(".")[:2])
    if wanted == ["arm64"]:
        major, minor = max((major, minor), _FIRST_ARM)
    minor = minor if major < _FIRST_ARM[0] else 0  # as tags count them since
    name = "universal2" if wanted == _UNIVERSAL else wanted[0]
    arch = [flag for one in wanted for flag in ("-arch", one)]
    return f"macosx_{major}_{minor}_{name}", (*arch, f"-mmacosx-version-min={major}.{minor}")


def _here() -> tuple[str, tuple[str, ...]]:
    return built_for(sysconfig.get_platform(), os.environ.get("ARCHFLAGS", ""))


def _say_none(reason: str) -> None:
    sys.stderr.write(f"gnas-serve: no compiled kernels, numpy will do their work more slowly: {reason}\n")


def _compile(module: Path) -> str:
    """Make the module; say why not, if so."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    shared = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    headers = sysconfig.get_paths()["include"]
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    said = f'-DSOURCES="{digest()}"'
    command = [*compiler, *FLAGS, *_here()[1], said, *shared, f"-I{headers}", *sources, "-o", str(module), "-lm"]
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
        _folder: Path | None = None

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile before files are gathered."""
            if self.target_name != "wheel":
                return
            if version == "editable":  # imported from the source tree
                is_made = compiled() is not None
            else:  # from a folder of its own: whoever else builds in the tree changes nothing in this wheel
                self._folder = Path(tempfile.mkdtemp())
                is_made = made(self._folder)
            if not is_made:
                return
            for path in (MODULE, CHECKSUM) if self._folder is not None else ():
                build_data["force_include"][str(self._folder / path.name)] = str(path.relative_to(ROOT))
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{_here()[0]}"

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
            """Leave nothing behind; of hatchling's interface."""
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(0 if compiled() else 1)
