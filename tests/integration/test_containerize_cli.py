"""`gnas-serve containerize` with a program in the engine's place that records what it is asked."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containerfile_reader import Stage, stages
from containerize_command import Command
from cyclonedx_rules import check_bill
from fake_engine import FakeEngine
from forked_cli import ForkedCli
from tiny_artifact import write_tiny_artifact

from gnas_serve.container.bill import bill_of_image
from gnas_serve.container.containerfile import BENTO, BILL
from gnas_serve.container.engines import ENGINES
from gnas_serve.service.bundle import EXCLUDE

TAG = "tiny:test-0"
IMAGE_ID = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BentoML's store with one Bento, which others may not read."""
    folder = tmp_path_factory.mktemp("bentoml")
    artifact = write_tiny_artifact(tmp_path_factory.mktemp("made") / "artifact")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(folder))
        command = [sys.executable, "-m", "gnas_serve.cli", "build", str(artifact)]
        subprocess.run(command, check=True, capture_output=True)
    for path in (folder / "bentos").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path / "kept")


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    with ForkedCli("bentoml.bentos", "gnas_serve.container.image") as running:
        yield running


@pytest.fixture
def containerize(cli: ForkedCli, home: Path, tmp_path: Path) -> Command:
    return Command(cli, home, tmp_path)


def image_stage(folder: Path) -> Stage:
    return stages((folder / "Containerfile").read_text())[-1]


def test_an_image_is_built_of_what_stands_in_the_context(containerize: Command, engine: FakeEngine) -> None:
    engine.install(containerize.programs, "docker")
    found = containerize.result(TAG)
    base = f"docker.io/library/python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    assert found == {
        "bento": TAG,
        "images": [TAG],
        "base_image": base,
        "flavour": "cpu",
        "engine": "docker",
        "id": IMAGE_ID,
    }
    probe, build = engine.calls
    assert probe == ["docker", "version"]
    context = Path(build[-1])
    assert build[:6] == ["docker", "build", "--file", str(context / "Containerfile"), "--tag", TAG]
    assert not context.exists()
    assert (engine.environment["DOCKER_BUILDKIT"], engine.environment["BUILDAH_FORMAT"]) == ("1", "docker")
    for stage in stages((engine.context / "Containerfile").read_text()):
        assert stage.base == base
        for origin, sources, _ in stage.copies():
            assert all(origin or (engine.context / source).exists() for source in sources)


def test_what_is_in_the_context(containerize: Command, engine: FakeEngine) -> None:
    engine.install(containerize.programs, "podman")
    containerize.result(TAG)
    files = {path.relative_to(engine.context).as_posix() for path in engine.context.rglob("*") if path.is_file()}
    scripts = {"bill.py", "healthcheck.py"}
    assert {name for name in files if "/" not in name} == {
        *("Containerfile", "constraints.txt", "facts.json", "requirements.txt", *scripts)
    }
    code = {name.removeprefix("bento/src") for name in files if name.startswith("bento/src/gnas_serve")}
    assert "/gnas_serve/service/bento.py" in code
    assert not any(name.startswith(excluded) for name in code for excluded in EXCLUDE)
    artifact = engine.context / "bento/src/build/artifact"
    assert (artifact / "manifest.json").is_file()
    facts = json.loads((engine.context / "facts.json").read_text())
    check_bill(bill_of_image(facts, []))
    asked = (engine.context / "requirements.txt").read_text()
    assert "onnxruntime==" in asked
    assert "bentoml==" in asked
    # Whoever built the Bento: the server's user may read all of it, and write none.
    for path in (engine.context, *engine.context.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_what_the_image_says(containerize: Command, engine: FakeEngine) -> None:
    engine.install(containerize.programs, "podman")
    source = "https://git.example.com/shop"
    containerize.result(TAG, "--label", f"org.opencontainers.image.source={source}", "--label", "gnas-serve.bento=mine")
    image = image_stage(engine.context)
    labels = image.pairs("LABEL")
    manifest = json.loads((engine.context / "bento/src/build/artifact/manifest.json").read_text())
    assert labels["gnas-serve.artifact.digest"] == f"sha256:{manifest['digest']}"
    assert labels["org.opencontainers.image.title"] == "tiny"
    assert labels["org.opencontainers.image.version"] == "test-0"
    assert labels["org.opencontainers.image.source"] == source
    assert labels["gnas-serve.bento"] == "mine"
    assert (labels["gnas-serve.sbom"], labels["gnas-serve.flavour"]) == (BILL, "cpu")
    assert "org.opencontainers.image.created" not in labels
    # What the service asks for, of bento.yaml.
    variables = image.pairs("ENV")
    assert [variables[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY")] == [
        "1"
    ] * 3
    assert json.loads(image.one("ENTRYPOINT"))[-1] == BENTO


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("buildah", ["--format", "docker", "--layers", "--timestamp", "1700000000"]),
        ("docker", ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]),
        ("podman", ["--format", "docker", "--timestamp", "1700000000"]),
    ],
)
def test_each_engine_is_told_in_its_own_words(
    containerize: Command, engine: FakeEngine, tmp_path: Path, name: str, words: list[str]
) -> None:
    for other in ENGINES:
        engine.install(containerize.programs, other)
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://user:word@pypi.example.com/simple\n")
    names = ("registry.example.com/shop:1", "registry.example.com/shop:latest")
    found = containerize.result(
        *(TAG, "--engine", name, "--image-tag", names[0], "--image-tag", names[1], "--pip-config", settings),
        *("--engine-option=--network=host", "--engine-option", "--no-cache"),
        SOURCE_DATE_EPOCH="1700000000",
    )
    assert (found["engine"], found["images"]) == (name, list(names))
    assert [call[0] for call in engine.calls] == [name, name]
    build = engine.calls[-1]
    assert "\n".join(words) in "\n".join(build) or set(words) <= set(build)
    tags = [build[place + 1] for place, word in enumerate(build) if word == "--tag"]
    assert tags == list(names)
    assert build[build.index("--network=host") + 1] == "--no-cache"
    assert build.index("--no-cache") < len(build) - 1
    assert (engine.kept / "secret").read_text() == settings.read_text()
    for path in engine.context.rglob("*"):
        assert path.is_dir() or b"user:word" not in path.read_bytes()
    assert image_stage(engine.context).pairs("LABEL")["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"


def test_the_gpu_flavour(containerize: Command, engine: FakeEngine) -> None:
    engine.install(containerize.programs, "docker")
    base = "registry.example.com/python-cuda:3.12"
    found = containerize.result(TAG, "--flavour", "gpu", "--base-image", base)
    assert (found["flavour"], found["base_image"]) == ("gpu", base)
    asked = (engine.context / "requirements.txt").read_text().split()
    runtimes = [line.partition("==")[0] for line in asked if line.startswith("onnxruntime")]
    assert runtimes == ["onnxruntime-gpu[cuda,cudnn]"]
    assert image_stage(engine.context).base == base


def test_an_engine_that_does_not_work_is_passed_over(containerize: Command, engine: FakeEngine) -> None:
    engine.install(containerize.programs, "docker", answers=False)
    engine.install(containerize.programs, "buildah")
    assert containerize.result(TAG)["engine"] == "buildah"
    assert [call[:2] for call in engine.calls] == [["docker", "version"], ["buildah", "version"], ["buildah", "build"]]


def test_without_an_engine_it_is_exit_9_with_what_to_do(containerize: Command, engine: FakeEngine) -> None:
    done = containerize(TAG)
    assert done.returncode == 9
    assert "docker, podman or buildah is not installed" in done.stderr
    assert "--context FOLDER" in done.stderr
    done = containerize(TAG, "--engine", "podman")
    assert (done.returncode, "podman is not installed" in done.stderr) == (9, True)
    engine.install(containerize.programs, "docker", answers=False)
    done = containerize(TAG)
    assert done.returncode == 9
    assert "docker is installed and does not work: Cannot connect to the daemon" in done.stderr
    broken = containerize.programs / "podman"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o755)
    done = containerize(TAG, "--engine", "podman")
    assert (done.returncode, "podman is installed and does not work" in done.stderr) == (9, True)


def test_a_build_that_fails_shows_the_last_lines(containerize: Command, engine: FakeEngine) -> None:
    said = (*(f"line {number}" for number in range(30)), "error: \x1b[31mno matching distribution")
    engine.install(containerize.programs, "docker", said=said, status=125)
    done = containerize(TAG)
    assert done.returncode == 5
    _, _, message = done.stderr.partition("error: docker could not build the image, exit 125:\n")
    lines = message.splitlines()
    assert lines[0] == "line 19"
    assert "error: \\x1b[31mno matching distribution" in lines
    assert any(line.startswith("hint:") for line in lines)
    assert not Path(engine.calls[-1][-1]).exists()


def test_an_interrupted_build_ends_the_engine(containerize: Command, engine: FakeEngine, tmp_path: Path) -> None:
    engine.install(containerize.programs, "docker", lasts_s=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "gnas_serve.cli", "containerize", TAG],
        cwd=tmp_path,
        env=containerize.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as lines:
        assert "STEP 1/2" in lines.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said = lines.read()
    assert process.wait(30) == 143
    assert "terminated" in said
    assert time.monotonic() - began < 20
    assert not Path(engine.calls[-1][-1]).exists()


def test_the_context_alone_needs_no_engine_and_repeats(containerize: Command, tmp_path: Path) -> None:
    contexts = []
    for name in ("one", "other"):
        found = containerize.result(TAG, "--context", tmp_path / name, SOURCE_DATE_EPOCH="1700000000")
        contexts.append(tmp_path / name)
        assert found["context"] == str(tmp_path / name)
        assert found["command"].startswith(f"docker build --file {tmp_path / name}/Containerfile --tag {TAG} ")
        assert found["command"].endswith(f" {tmp_path / name}")
    one, other = (
        {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))} for folder in contexts
    )
    assert list(one) == list(other)
    for name, path in one.items():
        assert path.stat().st_mtime == other[name].stat().st_mtime == 1_700_000_000
        assert path.is_dir() or path.read_bytes() == other[name].read_bytes()
    done = containerize(TAG, "--context", tmp_path / "one")
    assert (done.returncode, "already exists" in done.stderr) == (2, True)
    done = containerize(TAG, "--context", "/dev/null/context")
    assert (done.returncode, "/dev/null/context" in done.stderr) == (10, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing:1"], "'nothing:1' is not the tag of a Bento"),
        (["./no folder"], "is not the tag of a Bento"),
        (["x" * 300], "is not the tag of a Bento"),
        ([TAG, "--image-tag", "Upper:1"], "--image-tag 'Upper:1' is no name of an image"),
        ([TAG, "--base-image", "a b"], "--base-image 'a b' is no name of an image"),
        ([TAG, "--label", "nothing"], "--label 'nothing' has no value"),
        ([TAG, "--label", "a b=1"], "'a b' is no name of a label"),
        ([TAG, "--label", "a=1\n2"], "cannot stand in an image's labels"),
        ([TAG, "--pip-config", "nowhere.conf"], "--pip-config nowhere.conf is no file"),
        ([TAG, "--pip-config", "a,b.conf"], "no path with a comma"),
        ([TAG, "--context", ""], "the path is empty"),
        ([TAG, "--engine", "kaniko"], "kaniko"),
    ],
    ids=str,
)
def test_what_is_refused(
    containerize: Command, engine: FakeEngine, tmp_path: Path, arguments: list[str], said: str
) -> None:
    engine.install(containerize.programs, "docker")
    (tmp_path / "a,b.conf").write_text("")
    done = containerize(*arguments)
    assert (done.returncode, said in done.stderr.replace("\n", "")) == (2, True), done.stderr
    assert all(call[1:] == ["version"] for call in engine.calls)


@pytest.mark.parametrize("name", ["src/build/artifact/items.vectors.npy", "env/python/requirements.txt"])
def test_a_damaged_bento_is_refused(containerize: Command, engine: FakeEngine, home: Path, name: str) -> None:
    engine.install(containerize.programs, "docker")
    path = home / "bentos/tiny/test-0" / name
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"\x7f")
    done = containerize(TAG)
    path.write_bytes(kept)
    assert (done.returncode, Path(name).name in done.stderr) == (8, True), done.stderr
    assert not any("build" in call for call in engine.calls)
