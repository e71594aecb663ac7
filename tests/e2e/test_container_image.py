"""What `gnas-serve containerize` makes, run: its context in place of an image, and a real image where one can be built.

The latter needs buildah, and in ``GNAS_BASE_IMAGE`` the name of a base image that it has or can fetch;
``GNAS_IMAGE_FLAGS`` has further words for `gnas-serve containerize`, such as ``--pip-config FILE``. It takes minutes.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containerfile_reader import Stage, stages
from cyclonedx_rules import check_bill
from served_process import free_port
from tiny_artifact import write_tiny_artifact

from gnas_serve.container.containerfile import BENTO, BILL, HOME, SCRATCH, USER, VARIABLES
from gnas_serve.service.client import recommend

TAG = "tiny:test-0"
BASE_IMAGE = os.environ.get("GNAS_BASE_IMAGE", "")
READY_LIMIT_S = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bentoml")
    command(folder, "build", str(write_tiny_artifact(tmp_path_factory.mktemp("made") / "artifact")))
    return folder


def command(home: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "gnas_serve.cli", *arguments, "--output", "json"],
        env={**os.environ, "BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def context(home: Path) -> Iterator[Path]:
    """A context whose files and folders nobody may write, as in an image."""
    folder = home / "context"
    command(home, "containerize", TAG, "--context", str(folder))
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


def wait_until_ready(check: list[str], environment: dict[str, str], server: subprocess.Popen[str]) -> None:
    """Ask as an engine does, by the image's own health check."""
    deadline = time.monotonic() + READY_LIMIT_S
    while subprocess.run(check, env=environment).returncode != 0:
        assert server.poll() is None, "it ended"
        assert time.monotonic() < deadline, "not ready in time"
        time.sleep(0.1)


def ask_both_doors(http_port: str, grpc_port: str) -> None:
    body = json.dumps({"user_id": 1007, "k": 5}).encode()
    url = f"http://127.0.0.1:{http_port}/v1/recommend"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        over_http = json.load(reply)
    assert len(over_http["items"]) == 5
    assert over_http == recommend(f"127.0.0.1:{grpc_port}", user_id=1007, k=5)


def words(image: Stage, **places: str) -> tuple[list[str], list[str]]:
    """Give the entry point and the health check, with the image's places replaced by others."""
    _, _, check = image.one("HEALTHCHECK").partition(" CMD ")
    start, ask = json.loads(image.one("ENTRYPOINT")), json.loads(check)
    for place, other in sorted(places.items(), key=lambda pair: -len(pair[0])):
        start, ask = ([word.replace(place, other) for word in one] for one in (start, ask))
    return start, ask


def test_what_an_image_does_is_done_by_its_context(context: Path, tmp_path: Path) -> None:
    """The image's words and variables, and nothing else of an environment; this Python in the place of its own."""
    (image,) = stages((context / "Containerfile").read_text())[1:]
    python = str(Path(sys.executable).parent)
    places = {f"{HOME}/venv/bin": python, BENTO: str(context / "bento"), HOME: str(context)}
    start, ask = words(image, **places)
    ports = {"BENTOML_PORT": str(free_port()), "GNAS_GRPC_PORT": str(free_port())}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    given = {name: value.replace(SCRATCH, str(scratch)) for name, value in image.pairs("ENV").items()}
    given |= {"PATH": python, "TMPDIR": str(scratch), "BENTOML_HOST": "127.0.0.1", "GNAS_GRPC_HOST": "127.0.0.1"}
    environment = {**given, **ports}
    before = {path: path.stat().st_mtime_ns for path in context.rglob("*")}
    with (tmp_path / "log").open("w+") as log:
        server = subprocess.Popen(start, env=environment, cwd=context, stdout=log, stderr=log, text=True)
        try:
            wait_until_ready(ask, environment, server)
            ask_both_doors(ports["BENTOML_PORT"], ports["GNAS_GRPC_PORT"])
            assert list((scratch / "bentoml" / "prometheus_multiproc_dir").iterdir())
        finally:
            server.send_signal(signal.SIGTERM)
            status = server.wait(30)
        log.seek(0)
        assert status == 0, log.read()
    assert subprocess.run(ask, env=environment).returncode == 1
    assert before == {path: path.stat().st_mtime_ns for path in context.rglob("*")}


class Buildah:
    """The program, and an image of ours."""

    def __init__(self, name: str) -> None:
        self.image = json.loads(self.run("inspect", "--type", "image", name))["Docker"]["config"]
        self.container = self.run("from", "--pull-never", name)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(["buildah", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inside(self, *arguments: str, **variables: str) -> list[str]:
        """Give the command that runs another in the image, as the image's user."""
        given = [f"--env={name}={value}" for name, value in variables.items()]
        return ["buildah", "run", *given, self.container, "--", *arguments]


@pytest.fixture(scope="module")
def buildah(home: Path) -> Iterator[Buildah]:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    if not BASE_IMAGE:
        pytest.skip("GNAS_BASE_IMAGE names no base image")
    name = f"localhost/gnas-serve-test:{os.getpid()}"
    flags = ["--engine", "buildah", "--base-image", BASE_IMAGE, "--label", 'test.label=a "b" $HOME \\']
    command(
        home, "containerize", TAG, "--image-tag", name, *flags, *shlex.split(os.environ.get("GNAS_IMAGE_FLAGS", ""))
    )
    made = Buildah(name)
    yield made
    made.run("rm", made.container)
    made.run("rmi", name)


def test_a_real_image_is_as_the_containerfile_says(buildah: Buildah) -> None:
    assert buildah.image["User"] == f"{USER}:{USER}"
    assert buildah.image["Healthcheck"]["Test"][0] == "CMD"
    assert buildah.image["StopSignal"] == "SIGTERM"
    assert not buildah.image["Cmd"]
    assert buildah.image["Labels"]["test.label"] == 'a "b" $HOME \\'
    assert set(buildah.image["ExposedPorts"]) == {"3000/tcp", "3001/tcp"}
    assert {f"{name}={value}" for name, value in VARIABLES.items()} <= set(buildah.image["Env"])


def test_a_real_image_has_what_serves_and_nothing_else(buildah: Buildah) -> None:
    look = (
        "import shutil, sys; from importlib.metadata import distributions; from pathlib import Path\n"
        f"sys.stdout.write(Path({BILL!r}).read_text())\n"
        "found = {one.metadata['Name'].lower() for one in distributions()}\n"
        "assert {'bentoml', 'faiss-cpu'} <= found and not found & {'torch', 'polars', 'pip', 'typer'}, found\n"
        "assert not any(map(shutil.which, ('cc', 'gcc', 'g++', 'clang', 'make')))\n"
        f"assert not Path({BENTO!r}, 'src/gnas_serve/cli').exists()\n"
        f"sources = [path for path in Path({BENTO!r}, 'src').rglob('*.py')]\n"
        "assert all(list((path.parent / '__pycache__').glob(path.stem + '.*.pyc')) for path in sources)\n"
    )
    done = subprocess.run(buildah.inside("python", "-c", look), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bill = json.loads(done.stdout)
    check_bill(bill)
    assert {"bentoml", "numpy", "python", "tiny"} <= {one["name"] for one in bill["components"]}


def test_a_real_image_serves_and_stops(buildah: Buildah, tmp_path: Path) -> None:
    ports = {"BENTOML_PORT": str(free_port()), "GNAS_GRPC_PORT": str(free_port())}
    # The number that a signal is for, in the host's own view: buildah passes none on.
    start = ["sh", "-c", 'echo $$ > /tmp/pid; exec "$@"', "sh", *buildah.image["Entrypoint"]]
    mount = Path(buildah.run("mount", buildah.container))
    with (tmp_path / "log").open("w+") as log:
        server = subprocess.Popen(buildah.inside(*start, **ports), stdout=log, stderr=log, text=True)
        try:
            wait_until_ready(buildah.inside(*buildah.image["Healthcheck"]["Test"][1:], **ports), {**os.environ}, server)
            ask_both_doors(*ports.values())
        finally:
            os.kill(int((mount / "tmp/pid").read_text()), signal.SIGTERM)
            status = server.wait(30)
        log.seek(0)
        assert status == 0, log.read()
