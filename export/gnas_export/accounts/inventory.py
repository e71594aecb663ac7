"""What an export was made with: the installed packages that its bytes depend on, and the code itself, hashed."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gnas_export
import gnas_search
import gnas_serve
from gnas_serve.artifact.store import canonical_json, file_sha256

TOOLS = (
    "faiss-cpu",
    "ml_dtypes",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "scipy",
    "torch",
)
_SUFFIXES = (".py", ".toml", ".c", ".h")
# In a wheel they lie inside of their package, in a checkout beside it: equal code has one hash in both.
_DATA = {"gnas_export": "profiles", "gnas_search": "spaces"}


def installed_tools() -> dict[str, str]:
    """Give the version of each of :data:`TOOLS` that is installed, by name."""
    return {name: found for name in TOOLS if (found := _version(name)) is not None}


def lock_sha256(tools: Mapping[str, str]) -> str:
    """Hash versions as sorted lines of ``name==version``."""
    return hashlib.sha256("".join(f"{name}=={tools[name]}\n" for name in sorted(tools)).encode()).hexdigest()


@cache
def running_code_sha256() -> str:
    """Hash the three packages, once in a process: an edit while an export runs is not of the code that runs."""
    return code_sha256(*(Path(str(one.__file__)).parent for one in (gnas_export, gnas_search, gnas_serve)))


def code_sha256(*packages: Path) -> str:
    """Hash the ``.py`` and ``.toml`` files of package folders, by their names relative to the package and content."""
    found = {name: file_sha256(path) for folder in packages for name, path in _files(folder).items()}
    return hashlib.sha256(canonical_json(found)).hexdigest()


def host_facts() -> dict[str, Any]:
    """Describe the machine on which the times were taken."""
    return {
        "gnas_serve": gnas_serve.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "tools": installed_tools(),
    }


def _files(package: Path) -> dict[str, Path]:
    roots = {package.name: package}
    if (data := _DATA.get(package.name)) and not (package / data).is_dir():
        roots[f"{package.name}/{data}"] = package.parent / data
    return {
        f"{place}/{path.relative_to(root).as_posix()}": path
        for place, root in roots.items()
        for path in root.rglob("*")
        if path.suffix in _SUFFIXES and path.is_file()
    }


@cache  # what is loaded stays as it is
def _version(name: str) -> str | None:
    try:
        return version(name)
    except ImportError:  # PackageNotFoundError: only one of the two onnxruntime wheels is there
        return None
