"""The memory of this process and machine: how much there is, how much was needed, and how it is handed out."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for mallopt
_HELD_BYTES = (1 << 31) - 1  # the most that mallopt's int takes
_CGROUP = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")
_CGROUP_FILES = {  # (limit, in use, what of), by version; version 1 keeps memory in a tree of its own
    2: ("memory.max", "memory.current", "memory.stat"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
}
_REUSABLE = ("inactive_file", "total_inactive_file")  # cached files: in use, but given back when asked for
_PROCESS_LIMITS = ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5))  # and what counts, by its place in statm


def peak_bytes(device: torch.device | str = "cpu") -> int:
    """Give the most memory that this process has held so far.

    Parameters
    ----------
    device
        A CPU: the largest resident set of the whole process. A CUDA device: the most that tensors took on it.
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    for line in _lines(_PROCESS / "status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    # Not the first choice: on Linux it starts at the peak of the process that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def restart_peak() -> bool:
    """Let :func:`peak_bytes` speak of the memory from now on.

    Returns
    -------
    bool
        Whether the system could be told; it can be on Linux, else the peak stays that of the whole process.
    """
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def resident_bytes() -> int:
    """Give the memory that this process holds now; where the system does not say, the most it has held."""
    used = _used_bytes(_PROCESS)
    return used[1] if used else peak_bytes()


def resident_bytes_of(process_id: int) -> int:
    """Give the memory that another process holds now; 0 where there is none of that number, or the system is silent."""
    used = _used_bytes(_PROCESS.parent / str(process_id))
    return used[1] if used else 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _used_bytes(process: Path) -> list[int]:
    """Read statm: the address space, what is resident of it, ...; nothing where the system does not say."""
    return [int(pages) * resource.getpagesize() for line in _lines(process / "statm") for pages in line.split()]


def available_bytes(
    device: torch.device | str = "cpu",
    *,
    meminfo: Path = Path("/proc/meminfo"),
    cgroup: Path = _CGROUP,
    process: Path = _PROCESS,
) -> int | None:
    """Give the memory that may still be taken: the machine's, or what a limit leaves if that is less.

    Limits are those of the process (``ulimit -v`` and ``-d``) and of every control group around it, as containers and
    services have.

    Parameters
    ----------
    device
        A CUDA device: its own memory.
    meminfo, cgroup, process
        Where Linux tells of a CPU's.

    Returns
    -------
    int or None
        None where the system does not say.
    """
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [int(line.split()[1]) * 1024 for line in _lines(meminfo) if line.startswith("MemAvailable:")]
    found += _left_by_groups(cgroup, process)
    used = _used_bytes(process)
    for limit, place in _PROCESS_LIMITS:
        most = resource.getrlimit(limit)[0]
        if used and most != resource.RLIM_INFINITY:
            found.append(max(most - used[place], 0))
    return min(found) if found else None


def _left_by_groups(mount: Path, process: Path) -> list[int]:
    """Give what is left to the process's control group, to each group around it, and to the root that is shown."""
    groups = {(2, mount), (1, mount / "memory")}
    for line in _lines(process / "cgroup"):  # such as 0::/app/main in version 2, 4:memory:/app/main in version 1
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (controllers and "memory" not in controllers.split(",")) or ".." in Path(path).parts:
            continue
        version, root = (1, mount / "memory") if controllers else (2, mount)
        group = root / path.strip("/")
        groups |= {(version, one) for one in (group, *group.parents) if one.is_relative_to(root)}
    return [left for version, group in groups if (left := _left_by_group(group, version)) is not None]


def _left_by_group(group: Path, version: int) -> int | None:
    limit, used, parts = (_lines(group / name) for name in _CGROUP_FILES[version])
    try:
        left = int(limit[0]) - int(used[0])
    except (IndexError, ValueError):  # no such group, no limit, or "max"
        return None
    cached = [line.split() for line in parts]
    return max(left + max((int(line[1]) for line in cached if line[0] in _REUSABLE), default=0), 0)


def reuse_freed_memory() -> bool:
    """Let this process keep freed arrays for the next ones, instead of returning each to the system.

    A training step frees and allocates the same large arrays again and again. glibc gives every array of 32 MB or
    more to the system at once, and touching fresh pages costs more than the arithmetic: with 36 MB arrays, 19 instead
    of 6 ms for adding two, 65 instead of 42 ms for a propagation. The process's memory does not shrink afterwards.

    Returns
    -------
    bool
        Whether the C library was told; it can be on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _HELD_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _HELD_BYTES))
