"""What goes into an image beside the Bento: pinned packages, a bill of materials and a health check."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from cyclonedx_rules import check_bill
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from served_process import free_port

import gnas_serve.container.bill
import gnas_serve.container.healthcheck
from gnas_serve.cli.containerize import EngineName
from gnas_serve.container.bill import bill_of_image
from gnas_serve.container.engines import AUTO, ENGINES
from gnas_serve.container.healthcheck import is_ready
from gnas_serve.container.pins import REQUIREMENTS, constraints, requirements_of
from gnas_serve.errors import IntegrityError
from gnas_serve.service.requirements import SHIPPED, pinned

MODEL = {"type": "machine-learning-model", "bom-ref": "model", "name": "tiny", "version": "1"}
TOOLS = {"type": "application", "name": "gnas-serve", "version": "0"}
FACTS = {"model": MODEL, "base_image": "python:3.11-slim", "tools": TOOLS}


def bento(folder: Path, text: str) -> Path:
    path = folder / REQUIREMENTS
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def test_the_bentos_own_list_is_taken_and_the_gpu_flavour_swaps_one(tmp_path: Path) -> None:
    folder = bento(tmp_path, "numpy==2.4.6\nonnxruntime==1.31.1\n")
    assert requirements_of(folder) == ("numpy==2.4.6", "onnxruntime==1.31.1")
    assert requirements_of(folder, gpu=True) == ("numpy==2.4.6", "onnxruntime-gpu[cuda,cudnn]==1.31.1")


@pytest.mark.parametrize("text", ["", "numpy\n", "numpy>=2\n", "--index-url=x\n"])
def test_a_list_that_is_not_pinned_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(IntegrityError, match=r"requirements\.txt"):
        requirements_of(bento(tmp_path, text))


def test_a_bento_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"requirements\.txt"):
        requirements_of(tmp_path)


def test_what_packages_bring_is_pinned_to_what_is_here() -> None:
    asked = tuple(f"{name}=={text}" for name, text in pinned(*SHIPPED).items())
    found = {one.name: str(one.specifier) for one in map(Requirement, constraints(asked))}
    # Of BentoML itself, of one of its packages, and of the ONNX Runtime of either kind.
    for name in ("starlette", "markupsafe", "flatbuffers"):
        assert found[name] == f"=={version(name)}"
    assert not set(found) & {canonicalize_name(name) for name in SHIPPED}
    assert not set(found) & {"torch", "polars", "optuna", "typer", "pytest"}


def test_the_bill_of_an_image() -> None:
    names = ("anyio", "bentoml", "idna", "packaging", "starlette")
    installed = [distribution(name) for name in names]
    bill = bill_of_image({**FACTS, "timestamp": "2026-01-02T03:04:05Z"}, installed)
    check_bill(bill)
    assert bill == bill_of_image({**FACTS, "timestamp": "2026-01-02T03:04:05Z"}, installed[::-1])
    listed = {one["name"]: one["version"] for one in bill["components"] if one.get("purl")}
    assert listed == {name: version(name) for name in names}
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert needs[f"pkg:pypi/anyio@{version('anyio')}"] == [f"pkg:pypi/idna@{version('idna')}"]
    assert MODEL in bill["components"]
    assert bill["serialNumber"] != bill_of_image(FACTS, installed)["serialNumber"]


def test_the_bill_is_made_by_a_file_of_its_own(tmp_path: Path) -> None:
    facts, out = tmp_path / "facts.json", tmp_path / "bill.json"
    facts.write_text(json.dumps(FACTS))
    program = gnas_serve.container.bill.__file__
    packages = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", program, str(facts), packages, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    bill = json.loads(out.read_text())
    check_bill(bill)
    assert {"bentoml", "numpy"} <= {one["name"] for one in bill["components"]}


class _Door(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), type("Door", (_Door,), {})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_health_is_what_readiness_says(door: HTTPServer) -> None:
    port = str(door.server_port)
    for host in ("0.0.0.0", "127.0.0.1", ""):  # noqa: S104  # asked, not bound
        assert is_ready({"BENTOML_HOST": host, "BENTOML_PORT": port})
    door.RequestHandlerClass.status = 503  # type: ignore[attr-defined]
    assert not is_ready({"BENTOML_PORT": port})


def test_nobody_to_ask_is_not_healthy() -> None:
    for port in (str(free_port()), "none", "99999999"):
        assert not is_ready({"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": port}), port


def test_the_health_check_is_a_file_of_its_own(door: HTTPServer) -> None:
    program = gnas_serve.container.healthcheck.__file__
    proxied = {"BENTOML_PORT": str(door.server_port), "http_proxy": "http://127.0.0.1:1"}
    for variables, status in ((proxied, 0), ({"BENTOML_PORT": str(free_port())}, 1)):
        done = subprocess.run([sys.executable, "-I", "-S", program], env=variables, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_the_engines_are_those_of_the_command() -> None:
    assert {name.value for name in EngineName} == {AUTO, *ENGINES}
