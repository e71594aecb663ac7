"""What a machine offers: cores, memory, room, ports, a place for Bentos, and programs that build images."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from gnas_serve.cli.check import Check
from gnas_serve.container.engines import found_engines
from gnas_serve.errors import StorageError
from gnas_serve.service.ports import check_port_free

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_LOW_MEMORY_BYTES = 512 << 20
_LOW_DISK_BYTES = 1 << 30  # an image has half of it


def check_python() -> Check:
    """Say which Python this is, and on what."""
    facts = {"version": platform.python_version(), "executable": sys.executable, "platform": platform.platform()}
    return Check("python", "ok", f"{facts['version']}, {facts['platform']}", facts=facts)


def check_threads(cgroup: Path = _CGROUP) -> Check:
    """Count the cores that this process may use.

    Parameters
    ----------
    cgroup
        Where Linux tells of the limit of a container (version 2).
    """
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    quota = _quota(cgroup / "cpu.max")
    workers = max(1, int(min(usable, quota or usable)))
    facts = {"cores": cores, "usable": usable, "limit": quota, "omp_num_threads": os.environ.get("OMP_NUM_THREADS")}
    limited = "" if quota is None else f", limited to the time of {quota:g}"
    said = f"{usable} of {cores} cores{limited}; a worker takes one: up to --workers {workers}"
    return Check("threads", "ok", said, facts=facts)


def check_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> Check:
    """Read how much memory may still be taken.

    Parameters
    ----------
    meminfo, cgroup
        Where Linux tells of the machine's, and of the limit of a container (version 2).
    """
    left = [int(line.split()[1]) * 1024 for line in _lines(meminfo) if line.startswith("MemAvailable:")]
    limit, used = (_number(cgroup / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        # Cached files count as used, and are given back when asked for.
        cached = [int(line.split()[1]) for line in _lines(cgroup / "memory.stat") if line.startswith("inactive_file ")]
        left.append(max(limit - used + sum(cached), 0))
    facts = {"available_bytes": min(left, default=None)}
    if not left:
        return Check("memory", "ok", "the system does not say", facts=facts)
    said = f"{min(left) / 1e9:.1f} GB available"
    if min(left) < _LOW_MEMORY_BYTES:
        return Check("memory", "warning", said, "a worker takes some 400 MB beside the artifact", facts)
    return Check("memory", "ok", said, facts=facts)


def check_temporary() -> Check:
    """Make a file where `serve` keeps the metrics of its workers."""
    try:
        with tempfile.NamedTemporaryFile(prefix="gnas-serve-") as made:
            folder = Path(made.name).parent
            free = shutil.disk_usage(folder).free
    except OSError as error:
        said = f"no file can be made: {error.strerror or error}"
        return Check("temporary files", "missing", said, "set TMPDIR to a folder that you may write to", {"path": None})
    return Check(
        "temporary files", "ok", f"{folder}, {free / 1e9:.1f} GB free", facts={"path": str(folder), "free_bytes": free}
    )


def check_ports(http_port: int, grpc_port: int) -> Check:
    """Ask whether somebody listens on the ports of the two doors."""
    taken = []
    for port, door in ((http_port, "HTTP"), (grpc_port, "gRPC")):
        try:
            check_port_free("0.0.0.0", port, door=door, option="")  # noqa: S104  # asked, never listened on
        except StorageError:
            taken.append(port)
    facts = {"http": http_port, "grpc": grpc_port, "taken": taken}
    if taken:
        said = f"{' and '.join(map(str, taken))} cannot be used: somebody listens there, or it is not allowed"
        return Check("ports", "warning", said, "serve with --http-port and --grpc-port", facts)
    return Check("ports", "ok", f"{http_port} and {grpc_port} are free", facts=facts)


def check_store() -> Check:
    """Look at BentoML's store, where `build` puts Bentos; makes nothing."""
    path = Path(os.path.expanduser(os.environ.get("BENTOML_HOME") or "~/bentoml"))  # noqa: PTH111  # Path's may raise
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
    try:
        bentos = sum(1 for _ in path.glob("bentos/*/*/bento.yaml"))
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check("bento store", "warning", f"{path}: {error.strerror}", "set BENTOML_HOME", {"path": str(path)})
    facts: dict[str, Any] = {"path": str(path), "bentos": bentos, "free_bytes": free}
    said = f"{path}, Bentos: {bentos}, {free / 1e9:.1f} GB free"
    if not os.access(there, os.W_OK):
        return Check("bento store", "warning", f"{said}, not to be written", "set BENTOML_HOME, to build", facts)
    if free < _LOW_DISK_BYTES:
        return Check("bento store", "warning", said, "an image takes half a gigabyte", facts)
    return Check("bento store", "ok", said, facts=facts)


def check_builders() -> Check:
    """Find the programs that build images; none is run."""
    found = found_engines()
    said = ", ".join(name for name, path in found.items() if path) or f"none of {', '.join(found)}"
    return Check("image builders", "ok", said, facts=found)


def _quota(path: Path) -> float | None:
    """Read how many cores' time a container may take."""
    try:
        most, period = path.read_text(encoding="utf-8").split()
        return int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
