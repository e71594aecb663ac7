"""What the process takes and may take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gnas_search.memory import available_bytes, peak_bytes, resident_bytes

MIB = 1 << 20


def _host(folder: Path, *, available_kb: int = 8 * 1024) -> Path:
    meminfo = folder / "meminfo"
    meminfo.write_text(f"MemTotal:       99999 kB\nMemAvailable:   {available_kb} kB\n")
    return meminfo


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * MIB),
        ({"memory.max": "max\n", "memory.current": "1\n"}, 8 * MIB),
        ({"memory.max": f"{5 * MIB}\n", "memory.current": f"{2 * MIB}\n"}, 3 * MIB),
        ({"memory.max": f"{5 * MIB}\n", "memory.current": f"{6 * MIB}\n"}, 0),
        ({"memory/memory.limit_in_bytes": f"{4 * MIB}\n", "memory/memory.usage_in_bytes": "0\n"}, 4 * MIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "0\n"}, 8 * MIB),
    ],
)
def test_a_containers_limit_counts_as_memory(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(meminfo=_host(tmp_path), cgroup=tmp_path) == expected


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert available_bytes(meminfo=tmp_path / "absent", cgroup=tmp_path) is None


def test_the_peak_keeps_what_was_freed() -> None:

    held = np.ones(64 * MIB, dtype=np.uint8)
    assert peak_bytes() >= max(0.95 * resident_bytes(), held.nbytes)
    peak = peak_bytes()
    del held
    assert peak_bytes() >= peak


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_device_has_its_own_memory() -> None:
    before = available_bytes("cuda")
    held = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
    after = available_bytes("cuda")
    assert before is not None
    assert after is not None
    assert before - after >= held.nbytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is told on Linux alone")
def test_freed_arrays_stay_with_the_process() -> None:
    """In a process of its own: the setting is the process's, and what this one freed before would count."""
    source = """
import sys
import torch
from gnas_search.memory import resident_bytes, reuse_freed_memory
told = len(sys.argv) > 1 and reuse_freed_memory()
array = torch.zeros(1 << 26)
full = resident_bytes()
del array
print(int(told), (full - resident_bytes()) >> 20)
"""
    command = [sys.executable, "-c", source]
    kept, returned = (
        subprocess.run([*command, *argument], capture_output=True, text=True, check=True).stdout.split()
        for argument in (["tell"], [])
    )
    if kept[0] == "0":
        pytest.skip("this C library has no mallopt")
    assert int(returned[1]) > 200  # of 256 MiB
    assert int(kept[1]) < 50
