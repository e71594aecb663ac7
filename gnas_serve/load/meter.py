"""Meters: what a server costs, read before and after it was asked."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_METRIC = re.compile(r"^(process_cpu_seconds_total|process_resident_memory_bytes)(?:\{[^}]*\})? (\S+)", re.MULTILINE)
_READ_LIMIT_S = 5.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the load passes by every proxy as well
_MAX_METRICS_BYTES = 8 << 20


@dataclass(frozen=True)
class Reading:
    """One look at a server.

    Attributes
    ----------
    cpu_s
        Processor time that it has used so far, in user mode and in the kernel.
    rss_bytes
        Memory that it holds; pages that its processes share are in it once for each.
    """

    cpu_s: float
    rss_bytes: int


class Meter(Protocol):
    """Reads what a server costs."""

    def read(self) -> Reading | None:
        """Look; None where there is nothing to be seen any more."""
        ...


class ProcessMeter:
    """A process of this machine with its descendants, as Linux tells of them.

    Parameters
    ----------
    pid
        The first of them. Its descendants are looked up here, not with each reading: that would take longer than what
        is to be measured. The time of one that ends is its parent's from then on.
    """

    def __init__(self, pid: int) -> None:
        parents = {
            int(folder.name): stat[1]
            for folder in _PROC.iterdir()
            if folder.name.isdecimal() and (stat := _stat(int(folder.name))) is not None
        }
        tree = {pid}
        while more := {child for child, parent in parents.items() if parent in tree} - tree:
            tree |= more
        self._pids = sorted(tree)

    @classmethod
    def of(cls, pid: int) -> ProcessMeter | None:
        """Make one where this system tells of its processes."""
        return cls(pid) if (_PROC / str(pid) / "stat").is_file() else None

    def read(self) -> Reading | None:
        """Look."""
        stats = [stat for pid in self._pids if (stat := _stat(pid)) is not None]
        if not stats:
            return None
        # utime, stime, and those of children that ended: fields 14 to 17 of proc(5), the state being the third.
        cpu_s = sum(sum(stat[11:15]) for stat in stats) / _TICKS_PER_S
        return Reading(cpu_s, sum(stat[21] for stat in stats) * _PAGE_BYTES)


class MetricsMeter:
    """A server elsewhere that tells of its process in the words of Prometheus' client libraries.

    Parameters
    ----------
    url
        Of its metrics.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self) -> Reading | None:
        """Ask; None where it does not tell."""
        try:
            with _DIRECT.open(self._url, timeout=_READ_LIMIT_S) as reply:
                text = reply.read(_MAX_METRICS_BYTES).decode(errors="replace")
            told = {name: float(value) for name, value in _METRIC.findall(text)}
            return Reading(told["process_cpu_seconds_total"], int(told["process_resident_memory_bytes"]))
        except (OSError, urllib.error.URLError, HTTPException, ValueError, KeyError, OverflowError):
            return None


def _stat(pid: int) -> list[int] | None:
    """Read the numbers of a process from its parent's on; a zero for the state that stands before it."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    # The name in brackets may hold anything, brackets too.
    return [0, *(int(value) for value in text.rpartition(")")[2].split()[1:])]
