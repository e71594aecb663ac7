"""Feedback of processes that are killed, of several at once, and on a disk that is full."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from feedback_events import Opened, event, ids_in

from gnas_serve.errors import StorageError

EVENTS = 10_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}"}

# Sends the numbers that it is given on stdin, some hundred at a time, and says which of them were acknowledged.
SENDER = """
import json, os, sys
from collections import deque
from pathlib import Path
from feedback_events import event
from gnas_serve.feedback.log import FeedbackLog

log = FeedbackLog(Path(sys.argv[1]), lambda events: None, segment_bytes=int(sys.argv[2]))
os.write(1, b"ready\\n")
waiting = deque()
def tell():
    numbers, result = waiting.popleft()
    result.result(60)
    os.write(1, (" ".join(map(str, numbers)) + "\\n").encode())
numbers = json.loads(sys.stdin.readline())
for start in range(0, len(numbers), 7):
    few = numbers[start : start + 7]
    waiting.append((few, log.submit([event(number, model="m" * 200) for number in few])))
    if len(waiting) == 20:
        tell()
while waiting:
    tell()
log.close()
"""


def sender(folder: Path, segment_bytes: int = 1 << 20) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SENDER, str(folder), str(segment_bytes)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_killed_at_any_moment_no_acknowledged_event_is_lost_and_none_is_there_twice(tmp_path: Path) -> None:
    rng, acknowledged, kills = random.Random(6), set[int](), 0
    while len(acknowledged) < EVENTS:
        missing = [number for number in range(EVENTS) if number not in acknowledged]
        child = sender(tmp_path / "log")
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(json.dumps(missing).encode() + b"\n")
        child.stdin.flush()
        if kills < 8:
            # From before the first acknowledgement to some way on, not at the end of a line.
            for _ in range(rng.choice([0, 1, 20, 150])):
                acknowledged.update(map(int, child.stdout.readline().split()))
            time.sleep(rng.random() * 0.02)
            child.kill()
            kills += 1
        rest = child.stdout.read().split(b"\n")
        # A line without its end was not read by anybody: the kill came between.
        acknowledged.update(int(number) for line in rest[:-1] for number in line.split())
        child.wait()
        child.stdin.close()
        child.stdout.close()
        found = Counter(ids_in(tmp_path / "log"))
        assert {f"e-{number}" for number in acknowledged} <= found.keys()
        assert set(found.values()) == {1} or not found
    assert kills >= 3
    assert set(found) == {f"e-{number}" for number in range(EVENTS)}
    with Opened(tmp_path / "log") as opened:
        assert len(opened.told) == EVENTS
        assert opened.log.damaged == 0
        assert opened.append(0, EVENTS - 1) == (0, 2)


def test_four_processes_at_once_lose_nothing_and_write_nothing_twice(tmp_path: Path) -> None:
    children = [sender(tmp_path / "log", segment_bytes=100_000) for _ in range(4)]
    for place, child in enumerate(children):
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"ready\n"
        numbers = list(range(place * 400, place * 400 + 1200))
        random.Random(place).shuffle(numbers)
        child.stdin.write(json.dumps(numbers).encode() + b"\n")
        child.stdin.flush()
    told = set[int]()
    for child in children:
        told.update(map(int, child.communicate(timeout=120)[0].split()))
        assert child.returncode == 0
    assert told == set(range(2400))
    assert Counter(ids_in(tmp_path / "log")) == Counter(f"e-{number}" for number in range(2400))
    assert len(list((tmp_path / "log").glob("*.log"))) > 5


# Fills the log until there is no room, then makes room; the fields of the last line are checked by the test.
FILLER = """
import json, resource, sys
from pathlib import Path
from feedback_events import Opened, event
from gnas_serve.errors import StorageError

folder, way = Path(sys.argv[1]), sys.argv[2]
acknowledged, refused = [], []
def fill(opened, start, stop):
    for number in range(start, stop, 10):
        some = range(number, number + 10)
        try:
            opened.log.append([event(one, model="m" * 200) for one in some])
        except StorageError as error:
            assert error.code == "feedback_full", error.code
            assert error.hint
            refused.extend(some)
            return
        acknowledged.extend(some)

with Opened(folder / "log") as opened:
    if way == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, before[1]))
        fill(opened, 0, 1000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        fill(opened, 2000, 2010)
        assert len(refused) == 20, refused
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    else:
        filler = folder / "filler"
        with filler.open("wb") as stream:
            stream.write(bytes(150_000))
        fill(opened, 0, 100_000)
        fill(opened, 200_000, 200_010)
        assert len(refused) == 20, refused
        filler.unlink()
    again = opened.log.append([event(one, model="m" * 200) for one in refused])
    assert again.written + again.duplicates == 20
    acknowledged += refused
    print(json.dumps([acknowledged, opened.log.damaged, len(opened.told)]))
with Opened(folder / "log") as opened:
    assert opened.append(*acknowledged) == (0, len(acknowledged))
"""


@pytest.mark.parametrize("way", ["limit", "disk"])
def test_no_room_is_said_and_what_was_refused_can_be_sent_again(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    command = [sys.executable, "-c", FILLER, str(folder), way]
    copied = tmp_path / "copied"
    if way == "disk":
        if not shutil.which("unshare"):
            pytest.skip("nothing can be mounted here: no unshare")
        script = f'mount -t tmpfs -o size=256k tmpfs "{folder}" && "$@" && cp -r "{folder}/log" "{copied}"'
        command = ["unshare", "-m", "sh", "-c", script, "sh", *command]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    if way == "disk" and ("mount" in done.stderr or "unshare" in done.stderr):
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    acknowledged, damaged, told = json.loads(done.stdout)
    assert len(acknowledged) > 20
    assert damaged == 0
    assert told == len(acknowledged)
    found = ids_in(copied if way == "disk" else folder / "log")
    assert sorted(found) == sorted(f"e-{number}" for number in acknowledged)


HOLDER = """
import sys, time
from pathlib import Path
from gnas_serve.artifact.file_lock import TurnLock

with TurnLock(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_process_that_stands_still_is_waited_for_no_longer_than_told_and_its_lock_dies_with_it(
    tmp_path: Path,
) -> None:
    with Opened(tmp_path / "log") as opened:
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "log" / "log.lock")]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match="not on the disk") as caught:
            opened.log.append([event(1)], timeout_s=0.1)
        assert caught.value.code == "feedback_busy"
        holder.kill()
        holder.communicate()
        assert opened.append(1, 2) == (1, 1)
