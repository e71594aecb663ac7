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
        (  # cached files are in use, but given back when asked for
            {
                "memory.max": f"{5 * MIB}\n",
                "memory.current": f"{4 * MIB}\n",
                "memory.stat": f"anon 7\ninactive_file {2 * MIB}\nactive_file 9\n",
            },
            3 * MIB,
        ),
        (  # version 1 tells of the group alone and, as total, of all within it
            {
                "memory/memory.limit_in_bytes": f"{5 * MIB}\n",
                "memory/memory.usage_in_bytes": f"{5 * MIB}\n",
                "memory/memory.stat": f"inactive_file {MIB}\ntotal_inactive_file {2 * MIB}\n",
            },
            2 * MIB,
        ),
    ],
)
def test_a_containers_limit_counts_as_memory(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(meminfo=_host(tmp_path), cgroup=tmp_path) == expected


@pytest.mark.parametrize(
    ("groups", "folder", "names"),
    [
        ("0::/app/pod/main\n", ".", ("memory.max", "memory.current")),
        (
            "9:cpu,cpuacct:/\n4:memory:/app/pod/main\n0::/\n",
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ),
    ],
)
@pytest.mark.parametrize(("limited", "expected"), [("app/pod/main", 2), ("app/pod", 2), ("app", 2), ("app/other", 8)])
def test_the_limits_of_all_groups_around_the_process_count(
    groups: str, folder: str, names: tuple[str, str], limited: str, expected: int, tmp_path: Path
) -> None:
    process = tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text(groups)
    for group in ("app/pod/main", "app/other"):
        (tmp_path / folder / group).mkdir(parents=True)
    for name, value in zip(names, (3 * MIB, MIB), strict=True):
        (tmp_path / folder / limited / name).write_text(f"{value}\n")
        (tmp_path / folder / name).write_text(f"{value * 3}\n")  # the root leaves 6 MiB
    (tmp_path / "meminfo").write_text(f"MemAvailable: {8 * 1024} kB\n")
    found = available_bytes(meminfo=tmp_path / "meminfo", cgroup=tmp_path, process=process)
    assert found == min(expected, 6) * MIB


@pytest.mark.parametrize("groups", ["0::/../beside\n", "nonsense\n", "0::/absent\n", "4:memory:/absent\n"])
def test_groups_out_of_sight_are_passed_over(groups: str, tmp_path: Path) -> None:
    """A container that shows its own group as the root names the path outside; one beside it is not ours."""
    (tmp_path / "cgroup").write_text(groups)
    for group in ("beside", "mount"):
        (tmp_path / group).mkdir()
    for name, value in (("memory.max", MIB), ("memory.current", 0)):
        (tmp_path / "beside" / name).write_text(f"{value}\n")
        (tmp_path / "mount" / name).write_text(f"{4 * value}\n")
    assert available_bytes(meminfo=_host(tmp_path), cgroup=tmp_path / "mount", process=tmp_path) == 4 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process is told what it uses on Linux alone")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_counts_as_memory(limit: str) -> None:
    """In a process of its own: a limit cannot be taken back."""
    source = f"""
import resource
from pathlib import Path
from gnas_search.memory import available_bytes
pages = Path("/proc/self/statm").read_text().split()[{0 if limit == "RLIMIT_AS" else 5}]
used = int(pages) * resource.getpagesize()
before = available_bytes()
resource.setrlimit(resource.{limit}, (used + (200 << 20), resource.RLIM_INFINITY))
print(before >> 20, available_bytes() >> 20)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after == pytest.approx(min(before, 200), abs=20)


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert available_bytes(meminfo=tmp_path / "absent", cgroup=tmp_path, process=tmp_path) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a child is given its parent's peak on Linux alone")
def test_the_peak_is_not_the_one_of_the_process_that_started_this_one() -> None:
    held = np.ones(1 << 30, dtype=np.uint8)
    source = "from gnas_search.memory import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert int(done.stdout) < held.nbytes


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
