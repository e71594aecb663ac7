"""`gnas-serve quickstart` on a small sample: the whole road through real processes."""

import json
import os
import socket
import subprocess
import sys


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _quickstart(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "gnas_serve.cli", "quickstart", "--out", "here", "--output", "json", *arguments],
        cwd=tmp_path,
        env={**os.environ, "BENTOML_HOME": str(tmp_path / "bentos"), "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_quickstart_goes_from_nothing_to_two_equal_answers(tmp_path):
    http, grpc = _free_ports(2)
    done = _quickstart(
        tmp_path,
        "--users",
        "400",
        "--items",
        "300",
        "--trials",
        "1",
        "--http-port",
        f"{http}",
        "--grpc-port",
        f"{grpc}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    by_http, by_grpc = result["answers"]["http"], result["answers"]["grpc"]
    assert [item["item_id"] for item in by_http["items"]] == [item["item_id"] for item in by_grpc["items"]]
    assert len(by_http["items"]) == 5
    assert all(item["title"] for item in by_http["items"])
    assert {row["name"] for row in result["leaderboard"]["rows"]} >= {"popularity", "svd", "item-knn"}
    assert (tmp_path / "here" / "artifact" / "manifest.json").is_file()
    assert list((tmp_path / "bentos").rglob("bento.yaml"))


def test_a_taken_port_is_said_before_any_work(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _quickstart(tmp_path, "--http-port", str(port))
    assert done.returncode == 10
    assert f"port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert not (tmp_path / "here").exists()
