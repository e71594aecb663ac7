"""Settings, the status table, ports, and what a serving process may import."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from grpc import StatusCode
from tiny_artifact import write_tiny_artifact

import gnas_serve.errors
from gnas_serve.errors import ConfigError, GnasError, StorageError
from gnas_serve.runtime.query import MAX_K, MAX_LIST
from gnas_serve.service.errors import STATUSES, statuses_of
from gnas_serve.service.ports import check_host, check_port_free
from gnas_serve.service.settings import _PARSERS, DEFAULT_ARTIFACT, Settings, Stated, stated, with_absolute_paths


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("settings") / "artifact")


class TestSettings:
    def test_defaults(self, artifact: Path) -> None:
        assert Settings.from_environment({"GNAS_ARTIFACT": str(artifact)}) == Settings(artifact)

    def test_every_variable_is_read(self, artifact: Path) -> None:
        settings = Settings.from_environment(
            {
                "GNAS_ARTIFACT": str(artifact),
                "GNAS_VERIFY": "false",
                "GNAS_GRPC_HOST": "127.0.0.1",
                "GNAS_GRPC_PORT": "4001",
                "GNAS_WORKERS": "2",
                "GNAS_MAX_IN_FLIGHT": "7",
                "GNAS_TIMEOUT_S": "0.5",
                "GNAS_DRAIN_S": "3",
                "GNAS_ACCESS_LOG": "Yes",
                "GNAS_LOG_FORMAT": "JSON",
                "GNAS_LOG_KEY": "/etc/log-key",
                "GNAS_TRACING": "0.25",
                "GNAS_FEEDBACK": "/var/feedback",
                "GNAS_VERSIONS": "/var/versions",
                "GNAS_ADMIN_KEYS": "/etc/admins",
                "GNAS_MAX_BODY_BYTES": "4096",
                "GNAS_API_KEYS": "/etc/keys",
                "GNAS_JWT_KEY": "/etc/jwt",
                "GNAS_JWT_ISSUER": "them",
                "GNAS_JWT_AUDIENCE": "us",
                "GNAS_RATE_PER_S": "2.5",
                "GNAS_RATE_BURST": "9",
                "GNAS_GRPC_TLS_CERT": "/etc/crt",
                "GNAS_GRPC_TLS_KEY": "/etc/key",
                "GNAS_GRPC_TLS_CLIENT_CA": "/etc/ca",
            }
        )
        assert settings == Settings(
            artifact,
            verify=False,
            grpc_host="127.0.0.1",
            grpc_port=4001,
            workers=2,
            max_in_flight=7,
            timeout_s=0.5,
            drain_s=3.0,
            access_log=True,
            log_format="json",
            log_key=Path("/etc/log-key"),
            tracing=0.25,
            feedback=Path("/var/feedback"),
            versions=Path("/var/versions"),
            admin_keys=Path("/etc/admins"),
            max_body_bytes=4096,
            api_keys=Path("/etc/keys"),
            jwt_key=Path("/etc/jwt"),
            jwt_issuer="them",
            jwt_audience="us",
            rate_per_s=2.5,
            rate_burst=9,
            grpc_tls_cert=Path("/etc/crt"),
            grpc_tls_key=Path("/etc/key"),
            grpc_tls_client_ca=Path("/etc/ca"),
        )
        assert {field.name for field in fields(Settings)} == set(_PARSERS), "each setting can be set"

    def test_a_file_says_it_too_and_the_environment_has_the_last_word(self, artifact: Path, tmp_path: Path) -> None:
        path = tmp_path / "settings.toml"
        path.write_text(f"artifact = '{artifact}'\nworkers = 3\nverify = false\ntimeout_s = 2.5\nmax_in_flight = 9\n")
        settings = Settings.from_environment({"GNAS_SETTINGS": str(path), "GNAS_MAX_IN_FLIGHT": "8"})
        assert settings == Settings(artifact, verify=False, workers=3, timeout_s=2.5, max_in_flight=8)

    def test_what_was_stated_is_told_from_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "settings.toml"
        path.write_text("workers = 3\ngrpc_port = 4001\n")
        assert stated({"GNAS_SETTINGS": str(path), "GNAS_WORKERS": "2", "GNAS_VERIFY": " "}) == {
            "workers": Stated("GNAS_WORKERS", 2),
            "grpc_port": Stated(f"{path}: grpc_port", 4001),
        }

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("worker = 3", "did you mean 'workers'"),
            ("workers = 0", "settings.toml: workers='0'"),
            ("workers = [1]", "workers"),
            ("workers 3", "settings.toml"),
            ("verify = 'maybe'", "verify='maybe'"),
        ],
    )
    def test_a_wrong_file_is_named_with_the_key(self, artifact: Path, tmp_path: Path, content: str, said: str) -> None:
        path = tmp_path / "settings.toml"
        path.write_text(content)
        with pytest.raises(ConfigError) as raised:
            Settings.from_environment({"GNAS_ARTIFACT": str(artifact), "GNAS_SETTINGS": str(path)})
        assert said in str(raised.value)

    def test_a_file_that_is_absent(self, artifact: Path) -> None:
        with pytest.raises(ConfigError, match="GNAS_SETTINGS=/nowhere"):
            Settings.from_environment({"GNAS_ARTIFACT": str(artifact), "GNAS_SETTINGS": "/nowhere"})

    @pytest.mark.parametrize(
        "name",
        ["ADMIN_KEYS", "JWT_ISSUER", "JWT_AUDIENCE", "LOG_KEY", "GRPC_TLS_CERT", "GRPC_TLS_KEY", "GRPC_TLS_CLIENT_CA"],
    )
    def test_what_does_nothing_alone_is_refused_alone(self, artifact: Path, name: str) -> None:
        with pytest.raises(ConfigError, match=f"GNAS_{name} is set"):
            Settings.from_environment({"GNAS_ARTIFACT": str(artifact), f"GNAS_{name}": "x"})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GNAS_GRPC_PORT", "0"),
            ("GNAS_GRPC_PORT", "65536"),
            ("GNAS_GRPC_PORT", "3001.5"),
            ("GNAS_WORKERS", "-1"),
            ("GNAS_WORKERS", "²"),
            ("GNAS_MAX_IN_FLIGHT", "many"),
            ("GNAS_TIMEOUT_S", "0"),
            ("GNAS_TIMEOUT_S", "nan"),
            ("GNAS_DRAIN_S", "inf"),
            ("GNAS_DRAIN_S", "soon"),
            ("GNAS_VERIFY", "maybe"),
            ("GNAS_ACCESS_LOG", "2"),
            ("GNAS_RATE_PER_S", "nan"),
            ("GNAS_RATE_PER_S", "-1"),
            ("GNAS_RATE_BURST", "0"),
            ("GNAS_MAX_BODY_BYTES", "10"),
        ],
    )
    def test_a_wrong_value_is_named(self, artifact: Path, name: str, value: str) -> None:
        with pytest.raises(ConfigError, match=f"{name}={value!r}"):
            Settings.from_environment({"GNAS_ARTIFACT": str(artifact), name: value})

    def test_an_absent_artifact_names_both_places(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as raised:
            Settings.from_environment({"GNAS_ARTIFACT": str(tmp_path)})
        assert str(tmp_path) in raised.value.message
        assert str(DEFAULT_ARTIFACT) in raised.value.message
        assert "make quickstart" in raised.value.hint


def every_error(root: type[GnasError] = GnasError) -> list[type[GnasError]]:
    return [root, *(found for child in root.__subclasses__() for found in every_error(child))]


class TestStatuses:
    def test_the_table_agrees_with_the_drawing_of_the_error_tree(self) -> None:
        drawn = re.findall(r"(\w+Error) +(?:\d+|-) +(\d{3}) ", gnas_serve.errors.__doc__ or "")
        assert len(drawn) >= 14
        for name, status in drawn:
            assert statuses_of(getattr(gnas_serve.errors, name)("x")).http == int(status), name

    def test_no_row_is_for_a_success(self) -> None:
        assert all(row.http >= 400 and row.grpc is not StatusCode.OK for row in STATUSES.values())

    def test_codes_fit_into_trailing_metadata(self) -> None:
        assert all(re.fullmatch(r"[a-z_]+", kind.code) for kind in every_error())


class TestPorts:
    def test_a_port_somebody_listens_on(self) -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(StorageError, match=str(port)) as raised:
                check_port_free("127.0.0.1", port, door="gRPC", option="--grpc-port")
        assert raised.value.code == "port_taken"
        assert "--grpc-port" in raised.value.hint
        check_port_free("127.0.0.1", port, door="gRPC", option="--grpc-port")

    def test_a_host_name_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="localhost"):
            check_host("localhost")


FORBIDDEN = ("torch", "torch_geometric", "onnx", "polars", "scipy", "numba", "optuna", "gnas_search", "gnas_export")
SERVING = f"""
import sys
from gnas_serve.service import bento
assert "faiss" not in sys.modules, "the model's runtime is for workers"
service = bento.GnasServe.inner()
loaded = sorted(set({FORBIDDEN!r}) & set(sys.modules))
print(",".join(loaded) or "none", service._calls.model.name)
"""


def test_a_serving_process_never_imports_training(artifact: Path) -> None:
    environment = {**os.environ, "GNAS_ARTIFACT": str(artifact)}
    done = subprocess.run([sys.executable, "-c", SERVING], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "none tiny", done.stderr


def test_limits_of_schemas_are_the_runtimes() -> None:
    from gnas_serve.service.schemas import RecommendRequest

    schema = RecommendRequest.model_json_schema()["properties"]
    assert schema["k"]["maximum"] == MAX_K
    assert schema["history"]["maxItems"] == schema["exclude_items"]["maxItems"] == MAX_LIST


def test_places_for_a_process_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "GNAS_FEEDBACK": "log",
        "GNAS_SETTINGS": "a/serve.toml",
        "GNAS_API_KEYS": "/keys",
        "GNAS_TRACING": "on",
        "X": "y",
    }
    assert with_absolute_paths(given) == given | {
        "GNAS_FEEDBACK": str(tmp_path / "log"),
        "GNAS_SETTINGS": str(tmp_path / "a/serve.toml"),
    }
    assert with_absolute_paths({"GNAS_FEEDBACK": " "}) == {"GNAS_FEEDBACK": " "}


def test_places_in_a_file_are_looked_up_from_it(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text('feedback = "log"\napi_keys = "/keys"\n')
    settings = Settings.from_environment({"GNAS_ARTIFACT": str(artifact), "GNAS_SETTINGS": str(path)})
    assert (settings.feedback, settings.api_keys) == (tmp_path / "log", Path("/keys"))


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("GNAS_FEEDBAK", "GNAS_FEEDBACK"),
        ("GNAS_API_KEY", "GNAS_API_KEYS"),
        ("GNAS_MAX_INFLIGHT", "GNAS_MAX_IN_FLIGHT"),
        ("GNAS_SETTING", "GNAS_SETTINGS"),
    ],
)
def test_a_variable_that_is_nearly_one_is_refused(artifact: Path, variable: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable} is no setting") as error:
        Settings.from_environment({"GNAS_ARTIFACT": str(artifact), variable: "x"})
    assert f"did you mean {meant}?" in (error.value.hint or "")


def test_other_variables_are_somebody_elses(artifact: Path) -> None:
    """Kubernetes sets such for each Service, and ours is called gnas-serve."""
    others = ("GNAS_SERVE_SERVICE_HOST", "GNAS_SERVE_PORT", "GNAS_SERVE_PORT_3001_TCP_PORT", "GNAS_REAL_DATA", "GNASX")
    variables = dict.fromkeys(others, "x")
    assert Settings.from_environment({"GNAS_ARTIFACT": str(artifact), **variables}).workers == 1
