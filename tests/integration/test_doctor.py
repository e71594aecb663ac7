"""`gnas-serve doctor` through the real command line, in environments that lack something or have too much."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

import gnas_serve
from gnas_serve import kernels
from gnas_serve.cli.extras import EXTRAS
from gnas_serve.cli.machine import check_memory, check_threads
from gnas_serve.runtime.session import TRIAL_MODEL
from gnas_serve.service.requirements import SHIPPED

ROOT = Path(gnas_serve.__file__).parents[1]


def doctor(*arguments: str, python: str = sys.executable, **variables: str) -> tuple[int, dict[str, Any], str]:
    command = [python, "-m", "gnas_serve.cli", "doctor", "--output", "json", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    code, found, said = doctor()
    assert (code, found["can_serve"], said) == (0, True, "")
    return found["checks"]  # type: ignore[no-any-return]


class Environment:
    """A Python of its own, whose packages are links to this one's, so that some may be left out or put in."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = str(folder / "venv" / "bin" / "python")
        (self.packages,) = (folder / "venv").glob("lib/python*/site-packages")
        for path in Path(sysconfig.get_path("platlib")).iterdir():
            if path.suffix != ".pth" and path.name != "__pycache__":
                (self.packages / path.name).symlink_to(path)

    def leave_out(self, *patterns: str) -> None:
        for pattern in patterns:
            (path,) = self.packages.glob(pattern)
            path.unlink()

    def put_in(self, name: str, version: str) -> None:
        folder = self.packages / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def test_what_is_here_to_serve_with(whole: dict[str, Any]) -> None:
    assert all(check["state"] != "missing" and check["said"] for check in whole.values())
    assert whole["python"]["facts"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert set(SHIPPED) - {"onnxruntime"} <= set(whole["packages"]["facts"])
    runtime = whole["onnxruntime"]["facts"]
    assert (runtime["active"], onnxruntime.__version__) == (["CPUExecutionProvider"], *runtime["installed"].values())
    assert runtime["available"] == onnxruntime.get_available_providers()
    assert whole["kernels"]["facts"] == {
        "computed_by": kernels.described(),
        "compiled": kernels.native is not None,
    }
    assert set(whole["extras"]["facts"]) == set(EXTRAS)
    assert whole["extras"]["facts"]["export"] == {"installed": True, "absent": []}
    assert whole["image builders"]["facts"] == {name: shutil.which(name) for name in ("buildah", "docker", "podman")}


def test_the_model_that_is_tried_is_what_is_said_of_it() -> None:
    model = onnx.load_model_from_string(TRIAL_MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Neg"]
    assert (model.ir_version, model.opset_import[0].version) == (8, 13)


def test_people_read_a_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gnas_serve.cli", "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    states = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert len(states) == 11
    assert set(states) <= {"ok", "warning"}


def test_a_taken_port_is_told_and_is_nothing_missing() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        code, found, _ = doctor("--grpc-port", str(port))
    ports = found["checks"]["ports"]
    assert (code, ports["state"], ports["facts"]["taken"]) == (0, "warning", [port])
    assert "--grpc-port" in ports["hint"]


def test_a_store_is_counted_and_not_made(tmp_path: Path) -> None:
    home = tmp_path / "none" / "yet"
    code, found, _ = doctor(BENTOML_HOME=str(home))
    assert (code, found["checks"]["bento store"]["facts"]["bentos"]) == (0, 0)
    assert not home.parent.exists()
    bento = home / "bentos" / "shop" / "1"
    bento.mkdir(parents=True)
    (bento / "bento.yaml").write_text("name: shop\n")
    _, found, _ = doctor(BENTOML_HOME=str(home))
    assert found["checks"]["bento store"]["facts"]["bentos"] == 1


def test_absent_packages_are_exit_9_by_name(environment: Environment) -> None:
    environment.leave_out("pyjwt-*.dist-info", "jwt", "faiss")
    code, found, said = doctor(python=environment.python)
    assert (code, found["can_serve"]) == (9, False)
    assert found["checks"]["packages"]["state"] == "missing"
    assert "pyjwt is not installed" in said
    assert "faiss cannot be loaded" in said
    assert "pip install gnas-serve" in said
    assert found["checks"]["onnxruntime"]["state"] == "ok"


def test_packages_that_are_too_old_are_exit_9(environment: Environment) -> None:
    environment.leave_out("grpcio_reflection-*.dist-info")
    environment.put_in("grpcio_reflection", "1.60.0")
    code, _, said = doctor(python=environment.python)
    assert code == 9
    assert "grpcio-reflection 1.60.0 is not >=1.85" in said


def test_no_onnx_runtime_is_exit_9(environment: Environment) -> None:
    environment.leave_out("onnxruntime", "onnxruntime*.dist-info")
    code, found, said = doctor(python=environment.python)
    assert (code, found["checks"]["onnxruntime"]["facts"]["installed"]) == (9, {})
    assert "onnxruntime: cannot be used: No module named" in said


def test_what_is_left_of_an_overwritten_runtime_is_exit_9(environment: Environment) -> None:
    environment.leave_out("onnxruntime")
    (environment.packages / "onnxruntime").mkdir()  # a folder without code, as `pip uninstall` of one of two leaves it
    code, _, said = doctor(python=environment.python)
    assert code == 9
    assert "onnxruntime: cannot be used" in said


def test_two_runtimes_are_told(environment: Environment) -> None:
    (installed,) = environment.packages.glob("onnxruntime*.dist-info")
    other = "onnxruntime" if installed.name.startswith("onnxruntime_gpu") else "onnxruntime_gpu"
    environment.put_in(other, "1.23.0")
    code, found, _ = doctor(python=environment.python)
    runtime = found["checks"]["onnxruntime"]
    assert (code, runtime["state"], len(runtime["facts"]["installed"])) == (0, "warning", 2)
    assert "both installed" in runtime["said"]
    assert "pip uninstall onnxruntime onnxruntime-gpu" in runtime["hint"]


def test_limits_of_a_container(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert check_threads(tmp_path).facts["limit"] == 1.5
    assert check_threads(tmp_path).said.endswith("up to --workers 1")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert check_threads(tmp_path).facts["limit"] is None
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    assert check_memory(meminfo, tmp_path).facts["available_bytes"] == 8_192_000_000
    (tmp_path / "memory.max").write_text("500000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")
    low = check_memory(meminfo, tmp_path)
    assert (low.state, low.facts["available_bytes"]) == ("warning", 400_000_000)
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 90000000\nactive_file 7\n")
    assert check_memory(meminfo, tmp_path).facts["available_bytes"] == 490_000_000
