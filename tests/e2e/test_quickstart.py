"""`gnas-serve quickstart` on a small sample: the whole road through real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from served_process import free_port

SMALL = ("--users", "150", "--items", "120", "--trials", "1")


def _command(*arguments):
    ports = ["--http-port", str(free_port()), "--grpc-port", str(free_port())]
    return [
        *(sys.executable, "-m", "gnas_serve.cli", "quickstart", "--out", "here", "--output", "json"),
        *ports,
        *arguments,
    ]


def _environment(folder):
    return {**os.environ, "BENTOML_HOME": str(folder / "bentos"), "BENTOML_DO_NOT_TRACK": "True"}


def _quickstart(folder, *arguments):
    return subprocess.run(
        _command(*arguments), cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=400
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def first(folder):
    done = _quickstart(folder, *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_quickstart_goes_from_nothing_to_two_equal_answers(first, folder):
    by_http, by_grpc = first["answers"]["http"], first["answers"]["grpc"]
    assert [item["item_id"] for item in by_http["items"]] == [item["item_id"] for item in by_grpc["items"]]
    assert len(by_http["items"]) == 5
    assert all(item["title"] for item in by_http["items"])
    assert {row["name"] for row in first["leaderboard"]["rows"]} >= {"popularity", "svd", "item-knn"}
    assert (folder / "here" / "artifact" / "manifest.json").is_file()
    assert list((folder / "bentos").rglob("bento.yaml"))


def test_a_second_run_keeps_what_is_finished(first, folder):
    manifest = folder / "here" / "artifact" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    done = _quickstart(folder, *SMALL)
    assert done.returncode == 0, done.stderr[-3000:]
    second = json.loads(done.stdout)
    assert {**second, "seconds": 0} == {**first, "seconds": 0}
    assert manifest.stat().st_mtime_ns == before
    assert done.stderr.count("is there already: kept") == 3


def test_other_options_are_refused_by_name(first, folder):
    done = _quickstart(folder, *SMALL, "--seed", "1", "--users", "500")
    assert done.returncode == 2
    assert "here was made with --users 150 (now 500), --seed 0 (now 1)" in done.stderr
    assert "remove here" in done.stderr


def test_products_of_unknown_options_are_refused(tmp_path):
    (tmp_path / "here" / "study").mkdir(parents=True)
    done = _quickstart(tmp_path, *SMALL)
    assert done.returncode == 2
    assert "holds study of unknown options" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_quickstart_leaves_whole_steps_alone(tmp_path, number, status):
    process = subprocess.Popen(
        _command("--users", "8000", "--items", "2000"),
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # While the sample is written: its temporary folder is there.
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("here/.sample.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    left = {path.name for path in (tmp_path / "here").iterdir()}
    assert left <= {"quickstart.json", "sample"}, said


def test_a_taken_port_is_said_before_any_work(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _quickstart(tmp_path, "--http-port", str(port))
    assert done.returncode == 10
    assert f"port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert not (tmp_path / "here").exists()
