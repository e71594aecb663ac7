"""`gnas-serve serve` and its settings: a flag that is given, else the environment, else the file, else a default."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from cli_call import call
from processes import words_of
from served_process import AT_ONCE, Served, free_port
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.cli.serve import doors_of
from gnas_serve.service.client import recommend
from gnas_serve.service.launch import Doors
from gnas_serve.service.settings import Stated

# Another address of this machine, which Linux alone has without being told to.
_OTHER_HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("settings") / "artifact")


def test_settings_are_the_defaults_of_flags() -> None:
    made = {name: Stated("", value) for name, value in {"workers": 2, "grpc_port": 4001, "grpc_host": "::"}.items()}
    assert doors_of({}, None, 3000, None, None) == Doors()
    assert doors_of(made, None, 3000, None, None) == Doors("127.0.0.1", 3000, 4001, 2, "::")
    assert doors_of(made, "192.0.2.1", 3000, 5001, 3).grpc_ip == "192.0.2.1"
    assert doors_of(made, "192.0.2.1", 3000, 5001, 3) == Doors("192.0.2.1", 3000, 5001, 3, "192.0.2.1")


def test_a_server_runs_as_its_settings_say(artifact: Path, tmp_path: Path) -> None:
    """Also of an artifact whose files are not to be hashed: a byte that is another one would be refused."""
    damaged = write_tiny_artifact(tmp_path / "damaged")
    vectors = damaged / LAYOUT.item_vectors
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x01")
    file = tmp_path / "serve.toml"
    file.write_text(f"workers = 2\ngrpc_host = '192.0.2.1'\nverify = false\nartifact = '{artifact}'\n")
    settings = {**AT_ONCE, "GNAS_SETTINGS": str(file), "GNAS_GRPC_HOST": _OTHER_HOST}
    served = Served(str(damaged), tmp_path / "run", settings=settings)
    try:
        assert served.ready["grpc"] == f"{_OTHER_HOST}:{served.grpc_port}"
        assert len(recommend(served.ready["grpc"], user_id=1001, k=3)["items"]) == 3
        children = psutil.Process(served.process.pid).children(recursive=True)
        workers = [one for one in children if "_bentoml_impl.worker.service" in " ".join(words_of(one))]
        assert len(workers) == 2
        said = " ".join(served.log.read_text().split())
        assert f"{file}: artifact={artifact} is passed over" in said
    finally:
        assert served.stop() == 0, served.log.read_text()


@pytest.mark.parametrize(
    ("variable", "content", "said"),
    [
        ("0", "", "GNAS_WORKERS='0': expected a whole number from 1 to 256"),
        ("", "workers = [2]", "serve.toml: workers='[2]': expected a whole number"),
        ("", "grpc_port = 70000", "serve.toml: grpc_port='70000'"),
        ("", "grpc_host = 'localhost'", "host 'localhost' is not an IP address"),
    ],
)
def test_a_wrong_setting_is_exit_2(
    artifact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    content: str,
    said: str,
) -> None:
    (tmp_path / "serve.toml").write_text(content)
    monkeypatch.setenv("GNAS_SETTINGS", str(tmp_path / "serve.toml"))
    monkeypatch.setenv("GNAS_WORKERS", variable)
    assert call("serve", artifact, "--http-port", free_port()) == 2
    assert said in " ".join(capsys.readouterr().err.split())
