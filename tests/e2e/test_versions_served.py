"""A real server with two workers, whose version changes while it is asked: not one request fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from served_load import Load
from served_process import AT_ONCE, Served, free_port
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.service.auth import digest_of, new_key


def _deploy(served: Served, key: str, **change: Any) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{served.ready['http']}/v1/admin/deployment",
        json.dumps(change).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_switch_canary_and_rollback_under_load(tmp_path: Path) -> None:
    versions, key = tmp_path / "versions", new_key()
    versions.mkdir()
    for seed in (0, 1, 2):
        write_tiny_artifact(versions / f"v{seed}", seed=seed)
    broken = versions / "v2" / LAYOUT.item_vectors
    broken.write_bytes(broken.read_bytes()[:-1] + b"\x01")
    (tmp_path / "admins").write_text(f"ops {digest_of(key)}\n")
    settings = {**AT_ONCE, "GNAS_VERSIONS": str(versions), "GNAS_ADMIN_KEYS": str(tmp_path / "admins")}
    served = Served(str(versions / "v0"), tmp_path / "run", "--workers", "2", settings=settings)
    try:
        with Load(served.http_port) as load:
            assert _deploy(served, key, stable="v1")[1]["stable"] == "v1"
            seen = {served.http("/v1/recommend", {"user_id": user})["model"]["version"] for user in range(1000, 1030)}
            assert seen == {"test-1"}, "all workers serve it when the call answers"
            assert _deploy(served, key, canary={"artifact": "v0", "weight": 0.5})[0] == 200
            models = [served.http("/v1/recommend", {"user_id": user})["model"] for user in range(1000, 1060)]
            assert {model["variant"] for model in models} == {"stable", "canary"}
            again = [served.http("/v1/recommend", {"user_id": user})["model"] for user in range(1000, 1060)]
            assert models == again, "a user has the same version in every worker"
            status, problem = _deploy(served, key, stable="v2")
            assert (status, problem["code"]) == (409, "artifact_refused")
            status, left = _deploy(served, key, rollback=True)  # of the canary, and then of the version
            assert (status, left["stable"], left["canary"]) == (200, "v1", None)
            assert _deploy(served, key, rollback=True)[1]["stable"] == "v0"
        assert load.failures == []
        assert {status for status, _ in load.answers} == {200}
        assert {version for _, version in load.answers} == {"test-0", "test-1"}
        assert sum(load.answers.values()) > 100
    finally:
        assert served.stop() == 0
    # The next start goes on with what was served last.
    served = Served(str(versions / "v1"), tmp_path / "again", settings=settings)
    try:
        assert served.http("/v1/model")["version"] == "test-0"
        assert served.ready["model"] == {"name": "tiny", "version": "test-0", "artifact": "v0"}
        assert f"{versions / 'v1'} is not the stable version" in served.log.read_text()
    finally:
        served.stop()


def test_a_first_artifact_outside_the_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    artifact = write_tiny_artifact(tmp_path / "elsewhere")
    command = [sys.executable, "-m", "gnas_serve.cli", "serve", str(artifact), "--http-port", str(free_port())]
    command += ["--grpc-port", str(free_port())]
    environment = {**os.environ, "GNAS_VERSIONS": str(tmp_path / "versions")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "is not in the folder of versions" in done.stderr
