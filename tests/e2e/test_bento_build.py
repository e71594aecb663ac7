"""Real Bentos: built from an empty folder by the command and in a checkout by `bentoml build`, then served by tag."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from served_process import AT_ONCE, BENTOML_CLIENT, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve import kernels
from gnas_serve.service.requirements import OPTIONAL, optional

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bentoml")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_tiny_artifact(tmp_path_factory.mktemp("build") / "artifact", text_ids=True)
    (made / "report.json").write_text('{"host": "of this test"}')
    # A file may be a link into a store of blobs: the Bento gets the content.
    blob = made.parent / "blob"
    (made / "items.vectors.npy").rename(blob)
    (made / "items.vectors.npy").symlink_to(blob)
    return made


@pytest.fixture(scope="module")
def bento(home: Path, artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = gnas_serve(home, tmp_path_factory.mktemp("empty"), "build", str(artifact), "--output", "json")
    assert done.returncode == 0, done.stderr
    built = json.loads(done.stdout)
    assert (built["tag"], built["built"]) == ("tiny:test-0", True)
    return Path(built["path"])


def run(home: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def gnas_serve(home: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(home, folder, sys.executable, "-m", "gnas_serve.cli", *arguments)


def checkout(folder: Path) -> Path:
    """Lay out what `bentoml build` sees of a checkout."""
    shutil.copytree(ROOT / "gnas_serve", folder / "gnas_serve")
    shutil.copy(ROOT / "bentofile.yaml", folder)
    return folder


def files_of(bento: Path) -> set[str]:
    return {path.relative_to(bento).as_posix() for path in bento.rglob("*") if path.is_file()}


def test_what_is_in_the_bento(bento: Path, artifact: Path) -> None:
    files = files_of(bento / "src")
    code = {name for name in files if name.startswith("gnas_serve/")}
    assert {"gnas_serve/service/bento.py", "gnas_serve/service/proto/recommender_pb2.py"} <= code
    left_out = tuple(f"gnas_serve/{name}/" for name in ("cli", "container", "kernels/src", "load"))
    assert not any("__pycache__" in name or name.startswith(left_out) for name in code)
    assert not code & {f"gnas_serve/{name}.py" for name in ("runtime/benchmark", "service/launch", "service/bundle")}
    for name in ("_native.abi3.so", "_native.abi3.so.sha256"):
        assert (f"gnas_serve/kernels/{name}" in code) == (kernels.native is not None)
    shipped = {f"build/artifact/{name}" for name in files_of(artifact) - {"report.json"}}
    assert not any(path.is_symlink() for path in (bento / "src").rglob("*"))
    assert files == code | shipped | {"bentofile.yaml"}


def test_its_description_has_all_that_it_can_do(bento: Path) -> None:
    # Whoever serves it decides what is on: a server's own page leaves out what is off.
    document = yaml.safe_load((bento / "apis/openapi.yaml").read_text())
    assert document["openapi"] == "3.1.0"
    assert {"/v1/admin/deployment", "/v1/feedback", "/v1/recommend"} < set(document["paths"])
    feedback = document["paths"]["/v1/feedback"]["post"]
    assert "501" in feedback["responses"]
    assert {} in feedback["security"]


def test_the_image_is_lean_and_pinned(bento: Path) -> None:
    requirements = (bento / "env/python/requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in requirements}
    assert all("==" in line for line in requirements)
    assert names >= {"bentoml", "faiss-cpu", "grpcio", "numpy", "onnxruntime", "uvloop", "httptools"}
    assert not names & {"torch", "polars", "scipy", "onnx", "onnxruntime-gpu", "typer"}
    assert names & set(OPTIONAL) == set(optional())  # the exporter of traces, where it is installed here
    dockerfile = (bento / "env/docker/Dockerfile").read_text()
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in dockerfile
    assert "apt-get" not in dockerfile
    assert "ENV ORT_DISABLE_TELEMETRY=$ORT_DISABLE_TELEMETRY" in dockerfile
    assert "ARG ORT_DISABLE_TELEMETRY=1" in dockerfile


def test_labels_name_the_artifact(bento: Path) -> None:
    description = (bento / "bento.yaml").read_text()
    for label in ("artifact: test-0", "model: tiny", "profile: exact"):
        assert label in description


def test_the_same_artifact_again_is_built_already(bento: Path, home: Path, artifact: Path, tmp_path: Path) -> None:
    before = {name: (bento / name).stat().st_mtime_ns for name in files_of(bento)}
    copy = shutil.copytree(artifact, tmp_path / "copy")
    (copy / "report.json").write_text('{"another": "report"}')
    for arguments in ([], ["--tag", "tiny:test-0"]):
        done = gnas_serve(home, tmp_path, "build", str(copy), *arguments, "--output", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"tag": "tiny:test-0", "path": str(bento), "built": False}
    done = gnas_serve(home, tmp_path, "build", str(artifact))
    assert "already built" in done.stdout
    assert before == {name: (bento / name).stat().st_mtime_ns for name in files_of(bento)}


def test_a_tag_of_another_artifact_is_refused(bento: Path, home: Path, tmp_path: Path) -> None:
    other = write_tiny_artifact(tmp_path / "other", seed=1)
    before = {name: (bento / name).stat().st_mtime_ns for name in files_of(bento)}
    done = gnas_serve(home, tmp_path, "build", str(other), "--tag", "tiny:test-0")
    assert done.returncode == 2
    assert "tiny:test-0 exists already and holds another artifact" in done.stderr
    assert before == {name: (bento / name).stat().st_mtime_ns for name in files_of(bento)}


def test_the_seals_are_part_of_what_is_built(bento: Path, home: Path, artifact: Path, tmp_path: Path) -> None:
    sums = bento / "src/build/artifact/SHA256SUMS"
    assert sums.read_bytes() == (artifact / "SHA256SUMS").read_bytes()
    signed = shutil.copytree(artifact, tmp_path / "signed")
    (signed / "SHA256SUMS.sig").write_bytes(bytes(64))
    done = gnas_serve(home, tmp_path, "build", str(signed))
    assert done.returncode == 2
    assert "or the same with another signature" in done.stderr
    done = gnas_serve(home, tmp_path, "build", str(signed), "--tag", "tiny:signed", "--output", "json")
    assert done.returncode == 0, done.stderr
    built = Path(json.loads(done.stdout)["path"]) / "src/build/artifact"
    assert files_of(built) == files_of(signed) - {"report.json"}


def limited(home: Path, folder: Path, size_bytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run where no file may grow beyond a size: what a full disk does."""
    code = (
        "import resource, sys; from gnas_serve.cli.app import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size_bytes}, {size_bytes})); main(sys.argv[1:])"
    )
    return run(home, folder, sys.executable, "-c", code, *arguments)


def test_no_room_to_build(bento: Path, home: Path, artifact: Path, tmp_path: Path) -> None:
    done = limited(home, tmp_path, 4096, "build", str(artifact), "--tag", "full:1")
    assert done.returncode == 10, done.stderr
    assert "File too large" in done.stderr
    assert not (home / "bentos" / "full").exists()


def test_no_room_in_bentomls_store(artifact: Path, tmp_path: Path) -> None:
    done = gnas_serve(Path("/dev/null/nowhere"), tmp_path, "build", str(artifact))
    assert done.returncode == 10, done.stderr
    assert "/dev/null/nowhere" in done.stderr
    # A store that can be opened and not be written to.
    home = tmp_path / "home"
    (home / "bentos").mkdir(parents=True)
    (home / "bentos" / "tiny").write_text("a file where a folder is needed")
    done = gnas_serve(home, tmp_path, "build", str(artifact))
    assert done.returncode == 10, done.stderr
    assert "BentoML cannot write its store" in done.stderr


def test_bentoml_build_in_a_checkout_makes_the_same_files(
    bento: Path, home: Path, artifact: Path, tmp_path: Path
) -> None:
    folder = checkout(tmp_path)
    shutil.copytree(artifact, folder / "build" / "artifact")
    done = run(home, folder, sys.executable, "-P", "-m", "bentoml", "build", "--output", "tag")
    assert done.returncode == 0, done.stderr
    name, version = done.stdout.strip().splitlines()[-1].removeprefix("__tag__:").split(":")
    other = home / "bentos" / name / version
    assert files_of(other) == files_of(bento)
    for file in sorted(files_of(bento / "src") - {"bentofile.yaml"}):
        assert (other / "src" / file).read_bytes() == (bento / "src" / file).read_bytes()
    assert (other / "env/python/requirements.txt").read_bytes() == (bento / "env/python/requirements.txt").read_bytes()


def test_bentoml_build_without_an_artifact_says_so(home: Path, tmp_path: Path) -> None:
    done = run(home, checkout(tmp_path), sys.executable, "-P", "-m", "bentoml", "build")
    assert done.returncode != 0
    assert f"{tmp_path}/build/artifact" in done.stderr.replace("\n", "")
    assert "make quickstart" in done.stderr
    assert "Traceback" not in done.stderr


def test_refused_builds(home: Path, artifact: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(artifact, altered)
    vectors = altered / "items.vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    for arguments, status, text in (
        ([str(altered)], 8, "items.vectors.npy"),
        ([str(tmp_path / "nothing")], 2, "does not exist"),
        ([str(artifact), "--tag", "Upper Case:1"], 2, "Upper Case"),
    ):
        done = gnas_serve(home, tmp_path, "build", *arguments)
        assert done.returncode == status, done.stderr
        assert text in done.stderr.replace("\n", "")


def test_a_bento_is_served_by_its_tag(bento: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(home))
    served = Served("tiny", tmp_path / "elsewhere", settings=AT_ONCE)
    try:
        answer = served.http("/v1/recommend", {"user_id": "user-0007", "k": 3})
        assert all(item["item_id"].startswith("item-") for item in answer["items"])
        client = [sys.executable, "-c", BENTOML_CLIENT.replace("1007", "'user-0007'").replace("2003", "'item-0003'")]
        done = subprocess.run([*client, served.ready["http"]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])[0] == answer
        with urllib.request.urlopen(f"{served.ready['http']}/docs.json", timeout=5) as reply:
            assert json.load(reply)["info"]["version"] == "test-0"
    finally:
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(30) == 0, served.log.read_text()
        assert served.process.stdout is not None
        served.process.stdout.close()
