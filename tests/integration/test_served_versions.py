"""What a started server says that it serves is what its deployment says, not what the command line names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.cli.served_versions import served_artifact, served_versions
from gnas_serve.service.deployment import STATE, Canary, Deployment


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "versions"
    folder.mkdir()
    for name in ("1", "2", "3"):
        write_tiny_artifact(folder / name, seed=int(name))
    (folder / STATE).mkdir()
    return folder


def deploy(versions: Path, deployment: Deployment) -> None:
    (versions / STATE / "deployment.json").write_text(json.dumps(deployment.to_json()))


def test_one_artifact(versions: Path) -> None:
    served = served_artifact(Manifest.read(versions / "1"))
    assert (served.text, served.warning) == ("tiny test-1", None)
    assert served.fields == {"model": {"name": "tiny", "version": "test-1"}}


def test_what_was_named_is_served(versions: Path, tmp_path: Path) -> None:
    deploy(versions, Deployment("2"))
    (tmp_path / "live").symlink_to(versions / "2")
    for named in (versions / "2", tmp_path / "live"):
        served = served_versions(versions, named)
        assert (served.text, served.warning) == ("tiny test-2 (2)", None)
        assert served.fields == {"model": {"name": "tiny", "version": "test-2", "artifact": "2"}}


def test_another_version_is_served_and_the_warning_says_what_decided_and_what_to_do(versions: Path) -> None:
    deploy(versions, Deployment("2", previous="1", revision=4))
    served = served_versions(versions, versions / "1")
    assert served.fields["model"]["version"] == "test-2"
    warning = served.warning or ""
    assert f"{versions / '1'} is not the stable version: {versions / STATE} says that '2' is" in warning
    assert 'send {"stable": "1"} to /v1/admin/deployment' in warning
    assert f"remove {versions / STATE}" in warning


def test_an_artifact_elsewhere_has_no_name_to_be_switched_to(versions: Path, tmp_path: Path) -> None:
    deploy(versions, Deployment("2"))
    warning = served_versions(versions, write_tiny_artifact(tmp_path / "2")).warning or ""
    assert "is not the stable version" in warning
    assert f"put it into {versions}" in warning


def test_a_canary_with_its_weight_and_a_shadow(versions: Path) -> None:
    both = Deployment("1", canary=Canary("2", 0.125, "salt"), shadow="3")
    deploy(versions, both)
    served = served_versions(versions, versions / "1")
    assert served.text == "tiny test-1 (1), canary for 12.5% of the users tiny test-2 (2), shadow tiny test-3 (3)"
    assert served.fields["canary"] == {"name": "tiny", "version": "test-2", "artifact": "2", "weight": 0.125}
    assert served.fields["shadow"] == {"name": "tiny", "version": "test-3", "artifact": "3"}
    assert served.warning is None
    deploy(versions, replace(both, stable="3", shadow=None))
    assert "shadow" not in served_versions(versions, versions / "2").fields
    assert served_versions(versions, versions / "2").warning is not None, "a canary is not what everybody gets"
