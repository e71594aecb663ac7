"""The release pipeline of `examples/release`, run as it is copied: by its workflow's steps, and without a network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from containerfile_reader import stages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_engine import FakeEngine
from served_process import free_port
from without_network import is_possible, without_network
from workflow_run import Job, Outcome, environment, run_job

EXAMPLE = Path(__file__).parents[2] / "examples" / "release"
JOB = Job.read(EXAMPLE / "release.yml", "release")
# What no test runs: what fetches code, and the store of earlier runs, which here is the folder itself.
EXCEPTED = {"actions/checkout", "actions/setup-python", "actions/cache/restore", "actions/cache/save", "Install"}
COMMITTED = 1_700_000_000
MODEL = {"kind": "filter", "response": "ridge", "rank": 64, "user_power": 0.25, "item_power": 0.25, "edges": "all"}
FIRST = {"SPEC": "release/model.json", "PROFILE": "fast", "EXPORT_FLAGS": "--ranker never"}
GATES = {"MIN_ANN_RECALL": "0.9", "MAX_NDCG_DROP": "0.05", "MAX_ARTIFACT_BYTES": "900000", "MAX_LATENCY_US": "900000"}
KEY = {"VERIFY_KEY": "release/key.pub"}
REPORTS = {"report.json", "report.html", "gates.xml"}
# As `bentoml serve` starts it, by nobody of ours; then one question at each door.
ASK = """
import json, os, signal, subprocess, sys, time, urllib.request
from gnas_serve.service.client import recommend
tag, http, grpc = sys.argv[1:]
command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", http]
doors = {"GNAS_GRPC_HOST": "127.0.0.1", "GNAS_GRPC_PORT": grpc}
server = subprocess.Popen(command, env={**os.environ, **doors}, stdout=sys.stderr)
try:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=2).close()
            break
        except OSError:
            assert server.poll() is None
            time.sleep(0.1)
    body = json.dumps({"user_id": 100003, "k": 5}).encode()
    url = f"http://127.0.0.1:{http}/v1/recommend"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        over_http = json.load(reply)
    print(json.dumps([over_http, recommend(f"127.0.0.1:{grpc}", user_id=100003, k=5)]))
finally:
    server.send_signal(signal.SIGTERM)
    server.wait(30)
"""
# Python runs a module of this name first, in each worker too: what ONNX Runtime will find when it is loaded.
WITNESS = """
import os, sys
def hook(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        with open(os.environ["WITNESS"], "a") as out:
            out.write(os.environ.get("ORT_DISABLE_TELEMETRY", "unset") + "\\n")
sys.addaudithook(hook)
"""


@dataclass(frozen=True)
class Team:
    """A repository as a team has it."""

    folder: Path
    secret: str

    def released(self) -> str:
        current = self.folder / "releases" / "current"
        return current.read_text().strip() if current.exists() else ""

    def kept(self) -> dict[str, bytes]:
        root = self.folder / "releases"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def run(self, variables: dict[str, str], **options: Any) -> Outcome:
        """Run the workflow where no earlier run left anything but releases, as on a new runner."""
        shutil.rmtree(self.folder / "build", ignore_errors=True)
        return run_job(
            JOB,
            self.folder,
            variables={**KEY, **variables},
            secrets={"SIGN_KEY_PEM": self.secret},
            excepted=EXCEPTED,
            **options,
        )

    def script(self, step: str, before: Any = list, **settings: str) -> subprocess.CompletedProcess[str]:
        command = before(["sh", "release/release.sh", step])
        settings = {"WORK": "build/by-hand", **settings}
        return subprocess.run(
            command, cwd=self.folder, env=environment(self.folder, **settings), capture_output=True, text=True
        )


def sample(folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "gnas_serve.cli", "data", "sample", str(folder), *options]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    folder = tmp_path_factory.mktemp("team")
    (folder / "release").mkdir()
    shutil.copy(EXAMPLE / "release.sh", folder / "release")
    (folder / "release" / "model.json").write_text(json.dumps(MODEL))
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    (folder / "release" / "key.pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    sample(folder / "data", "--users", "300", "--items", "200")
    sample(folder / "later", "--users", "330", "--items", "200")
    git = {**os.environ, "GIT_COMMITTER_DATE": f"{COMMITTED} +0000", "GIT_AUTHOR_DATE": f"{COMMITTED} +0000"}
    who = ("-c", "user.name=team", "-c", "user.email=team@example.org")
    for arguments in (("init", "-q"), ("add", "release"), (*who, "commit", "-qm", "A pipeline")):
        subprocess.run(["git", *arguments], cwd=folder, env=git, check=True, capture_output=True)
    return Team(folder, secret)


@pytest.fixture(scope="module")
def first(team: Team) -> Outcome:
    outcome = team.run({**FIRST, **GATES})
    assert not outcome.failed, outcome.said
    return outcome


@pytest.fixture(scope="module")
def second(first: Outcome, team: Team) -> subprocess.CompletedProcess[str]:
    """The next release, of newer data, with a search; without a network where that can be taken away."""
    settings = {"DATA": "later", "SEARCH_FLAGS": "--space quick --trials 1", "PROFILE": "exact", **KEY}
    before = without_network if is_possible() else list
    done = team.script("all", before, SIGN_KEY_PEM=team.secret, WORK="second", **settings)
    assert done.returncode == 0, done.stderr
    return done


def test_the_steps_are_the_scripts_in_its_order() -> None:
    run = {step["name"]: step["run"] for step in JOB.steps if "run" in step}
    assert all(line.startswith("pip install ") for line in run.pop("Install").splitlines())
    steps = re.search('^STEPS="(.*)"$', (EXAMPLE / "release.sh").read_text(), re.MULTILINE)
    assert steps is not None
    assert list(run.values()) == [f"sh release/release.sh {step}" for step in steps[1].split()]


def test_every_setting_reaches_the_script() -> None:
    settings = set(re.findall(r'^: "\$\{(\w+):=', (EXAMPLE / "release.sh").read_text(), re.MULTILINE))
    given = {name for where in (JOB.env, *(step.get("env", {}) for step in JOB.steps)) for name in where}
    assert given - {"GNAS_SERVE"} == settings - {"SOURCE_DATE_EPOCH"}


def test_a_first_release(first: Outcome, team: Team) -> None:
    released = team.folder / "releases" / team.released()
    assert {*REPORTS, "train.json", "verify.json", "bento.json"} == set(first.uploaded)
    verified = json.loads(first.uploaded["verify.json"])
    assert (verified["version"], verified["signature"]) == (released.name, "verified")
    report = json.loads(first.uploaded["report.json"])
    assert report["connections"]["refused"] == 0
    suite = ET.fromstring(first.uploaded["gates.xml"])  # noqa: S314  # our own file
    assert len(list(suite.iter("testcase"))) >= len(report["gates"]) > 0
    assert not list(suite.iter("failure"))
    limits = {gate["name"]: gate["limit"] for gate in report["gates"]}
    assert [limits[name] for name in ("artifact_bytes", "latency_p99_us", "index_recall")] == [900_000, 900_000, 0.9]
    manifest = json.loads((released / "manifest.json").read_bytes())
    assert datetime.fromisoformat(manifest["created"]).timestamp() == COMMITTED
    assert (released / "SHA256SUMS.sig").is_file()
    assert team.secret.splitlines()[1] not in "".join(first.said.values())
    assert "nothing to compare with" in first.said["Compare"]
    assert "REGISTRY is not set" in first.said["Push"]
    assert Path(json.loads(first.uploaded["bento.json"])["path"]).is_dir()


def test_the_next_release_says_what_changed(
    first: Outcome, second: subprocess.CompletedProcess[str], team: Team
) -> None:
    before = json.loads(first.uploaded["verify.json"])["version"]
    found = json.loads((team.folder / "second" / "reports" / "diff.json").read_bytes())
    assert [one["version"] for one in found["artifacts"]] == [before, team.released()]
    assert found["sections"]["model"]["num_users"][0] < found["sections"]["model"]["num_users"][1]
    assert found["sections"]["data"]
    assert found["sections"]["architecture"]
    assert found["sections"]["export"]["profile"] == ["fast", "exact"]
    assert "num_users" in second.stdout
    assert (team.folder / "releases" / before / "manifest.json").is_file()


def test_all_of_it_without_a_network(second: subprocess.CompletedProcess[str], team: Team, tmp_path: Path) -> None:
    if not is_possible():
        pytest.skip("no user namespaces here: `unshare -rn` is refused")
    reports = team.folder / "second" / "reports"
    assert json.loads((reports / "report.json").read_bytes())["connections"]["refused"] == 0
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ports = [str(free_port()), str(free_port())]
    tag = json.loads((reports / "bento.json").read_bytes())["tag"]
    done = subprocess.run(
        without_network([sys.executable, "-c", ASK, tag, *ports]),
        cwd=tmp_path,
        env=environment(team.folder, PYTHONPATH=path, WITNESS=str(tmp_path / "witness")),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    over_http, over_grpc = json.loads(done.stdout)
    assert over_http["model"]["version"] == over_grpc["model"]["version"] == team.released()
    assert [item["item_id"] for item in over_http["items"]] == [item["item_id"] for item in over_grpc["items"]]
    assert len(over_http["items"]) == 5
    # No worker loaded ONNX Runtime with its telemetry on.
    assert set((tmp_path / "witness").read_text().split()) == {"1"}


def interrupt_once(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            # The script starts and ends others all the time: one may be gone before it is asked what it was.
            with contextlib.suppress(psutil.NoSuchProcess):
                words = child.cmdline()
                if "export" in words and any("gnas-serve" in word for word in words):
                    child.send_signal(signal.SIGTERM)
                    return
        time.sleep(0.02)


def test_a_gate_that_is_breached(second: subprocess.CompletedProcess[str], team: Team) -> None:
    before = team.kept()
    variables = {**FIRST, "CHECKPOINT": "second/checkpoint", "MAX_ARTIFACT_BYTES": "1000"}
    outcome = team.run(variables, beside={"Export": interrupt_once})
    assert outcome.codes == {"Train": 0, "Export": 6}, outcome.said
    assert "export was interrupted, exit 143: once again" in outcome.said["Export"]
    assert "exit 6: a quality gate failed" in outcome.said["Export"]
    assert f"the last release stays: {team.released()}" in outcome.said["Export"]
    assert set(outcome.uploaded) == REPORTS
    assert "artifact_bytes" in outcome.uploaded["gates.xml"].decode()
    failing = [gate["name"] for gate in json.loads(outcome.uploaded["report.json"])["gates"] if not gate["passed"]]
    assert failing == ["artifact_bytes"]
    assert team.kept() == before


def test_data_that_cannot_be_used(second: subprocess.CompletedProcess[str], team: Team) -> None:
    before = team.kept()
    (team.folder / "broken").mkdir(exist_ok=True)
    (team.folder / "broken" / "interactions.csv").write_text("user_id,thing\n1,2\n")
    done = team.script("all", DATA="broken")
    assert done.returncode == 3, done.stderr
    assert "exit 3: the data cannot be used" in done.stderr
    assert done.stderr.count("exit 3") == 1
    assert team.kept() == before


def test_what_is_refused_before_any_work(second: subprocess.CompletedProcess[str], team: Team) -> None:
    before = team.kept()
    for step, settings, code, said in (
        ("train", {"WORK": "second"}, 2, "second is there already"),
        ("export", {"WORK": "second", "SIGN_KEY_PEM": team.secret}, 2, "nobody would check the signature"),
        ("verify", {"WORK": "nowhere"}, 2, "nowhere/reports is not there: a release begins with the step train"),
        ("deploy", {}, 2, "expected one of: train export"),
    ):
        done = team.script(step, **settings)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert team.kept() == before


def test_an_artifact_that_was_altered(second: subprocess.CompletedProcess[str], team: Team) -> None:
    before = team.kept()
    shutil.copytree(team.folder / "second", team.folder / "altered")
    vectors = team.folder / "altered" / "artifact" / "items.vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x7f")
    done = team.script("verify", WORK="altered", **KEY)
    assert done.returncode == 8, done.stderr
    assert "exit 8: a checkpoint or artifact is damaged" in done.stderr
    assert team.kept() == before


def test_an_image_without_an_engine(second: subprocess.CompletedProcess[str], team: Team, tmp_path: Path) -> None:
    done = team.script("push", WORK="second", REGISTRY="registry.invalid/team", PATH=str(programs(tmp_path)))
    assert done.returncode == 9, done.stderr
    assert "docker, podman or buildah is not installed" in done.stderr
    assert "exit 9" in done.stderr


def test_an_image_is_built_and_pushed(second: subprocess.CompletedProcess[str], team: Team, tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "kept")
    folder = programs(tmp_path)
    for name in ("docker", "podman"):
        engine.install(folder, name)
    flags = "--engine podman --label org.example.team=shop"
    done = team.script("push", WORK="second", REGISTRY="registry.invalid/team", PATH=str(folder), IMAGE_FLAGS=flags)
    assert done.returncode == 0, done.stderr
    reports = team.folder / "second" / "reports"
    name = f"registry.invalid/team/{json.loads((reports / 'bento.json').read_bytes())['tag']}"
    assert json.loads((reports / "image.json").read_bytes())["images"] == [name]
    assert [call[:2] for call in engine.calls] == [["podman", "version"], ["podman", "build"], ["podman", "push"]]
    assert engine.calls[-1] == ["podman", "push", name]
    labels = stages((engine.context / "Containerfile").read_text())[-1].pairs("LABEL")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=team.folder, capture_output=True, text=True, check=True)
    assert labels["org.opencontainers.image.revision"] == head.stdout.strip()
    assert labels["org.example.team"] == "shop"


def programs(folder: Path) -> Path:
    """Give a path with what the script calls, and no engine."""
    made = folder / "programs"
    made.mkdir()
    beside = Path(sys.executable).parent
    for name in ("cat", "git", "sh"):
        (made / name).symlink_to(str(shutil.which(name)))
    (made / "gnas-serve").symlink_to(beside / "gnas-serve")
    # Not a link: a virtual environment's Python finds its packages by its own path.
    (made / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (made / "python3").chmod(0o755)
    return made
