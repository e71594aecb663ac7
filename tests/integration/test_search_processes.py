"""Drivers of one study as processes of their own: a second one is refused, a killed one leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from processes import still_alive, words_of
from search_world import SPACE, Gnas, trials

from gnas_search.study import Study

TRIALS = 6
NETWORKS = SPACE[: SPACE.index("[filter")].replace("epochs = 2", "epochs = 30\npatience = 30")  # for a kill to meet one


@pytest.fixture
def told(shop: Path, tmp_path: Path) -> list[str]:
    """Give the command: a search in several processes."""
    (tmp_path / "networks.toml").write_text(NETWORKS)
    options = ["--space", tmp_path / "networks.toml", "--trials", TRIALS, "--slots", 2, "--output", "json"]
    return [str(word) for word in ("search", shop, "--out", tmp_path / "study", *options)]


@pytest.fixture
def driver(told: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "gnas_serve.cli", *told], stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_a_second_driver_is_refused_and_a_killed_one_leaves_nothing_undone(
    gnas: Gnas, told: list[str], driver: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    wait_for(lambda: len(done(study)) >= 1)
    os.kill(driver.pid, signal.SIGSTOP)  # so that it is not at its end before the other has looked
    code, _, said = gnas(*told)
    assert (code, "another search is running on this study hint: wait for it or stop it" in said) == (2, True), said
    seen = len(done(study))
    os.kill(driver.pid, signal.SIGCONT)
    wait_for(lambda: len(done(study)) > seen)

    os.kill(driver.pid, signal.SIGSTOP)
    before = done(study)
    children = psutil.Process(driver.pid).children(recursive=True)
    assert sum("spawn_main" in " ".join(words_of(child)) for child in children) == 2  # a third looks after semaphores
    os.kill(driver.pid, signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    assert len(before) < TRIALS
    assert still_alive(children, 20) == []

    code, output, said = gnas(*told)
    assert (code, len(trials(output))) == (0, TRIALS), said
    assert before.items() <= done(study).items()


def wait_for(what: Callable[[], bool]) -> None:
    latest = time.monotonic() + 300  # on a busy machine three processes are long in loading what they need
    while not what():
        assert time.monotonic() < latest
        time.sleep(0.02)


def done(folder: Path) -> dict[int, tuple[str, float]]:
    """Give what the finished trials of a study were worth, by number."""
    if not (folder / "journal.log").exists():
        return {}
    found = Study.load(folder).ranking
    return {trial.number: (trial.key, measured.ndcg.value) for trial, measured in found}


def test_a_search_goes_on_when_nobody_reads_what_it_says(shop: Path, space: Path, tmp_path: Path) -> None:
    command = ["search", shop, "--out", tmp_path / "study", "--space", space, "--trials", 4]
    with subprocess.Popen(
        [sys.executable, "-m", "gnas_serve.cli", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline()
        process.stderr.close()  # as `2>&1 | head -1` does
        assert process.wait() == 0
    assert sum(trial.measured is not None for trial in Study.load(tmp_path / "study").trials) == 4


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_reader_of_the_result_may_leave(output: str, made: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gnas_serve.cli", "study", "leaderboard", str(made), "--output", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `| head` does
        said = process.stderr.read().decode()
        assert (process.wait(), said) == (0, "")
