"""What an export was made with: one hash of equal code wherever it is installed, another of any change."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import gnas_export
import gnas_search
import gnas_serve
from gnas_export.accounts.inventory import TOOLS, code_sha256, installed_tools, lock_sha256, running_code_sha256
from gnas_export.package import VERSION_DIGITS, versioned
from gnas_serve.artifact.manifest import Manifest

GOLDEN = Path(__file__).parents[1] / "golden"
PACKAGES = [Path(package.__file__).parent for package in (gnas_export, gnas_search, gnas_serve)]


def as_in_a_wheel(folder: Path) -> list[Path]:
    """Copy the packages as a wheel lays them out, with what lies beside them in a checkout."""
    for package in PACKAGES:
        shutil.copytree(package, folder / package.name)
    for data, package in (("profiles", "gnas_export"), ("spaces", "gnas_search")):
        source = next(place / data for place in _places(package) if (place / data).is_dir())
        shutil.copytree(source, folder / package / data, dirs_exist_ok=True)
    return [folder / package.name for package in PACKAGES]


def _places(package: str) -> list[Path]:
    inside = next(path for path in PACKAGES if path.name == package)
    return [inside, inside.parent]


@pytest.fixture
def wheel(tmp_path):
    return as_in_a_wheel(tmp_path)


def test_a_checkout_and_a_wheel_of_equal_code_have_one_hash(wheel):
    assert code_sha256(*wheel) == running_code_sha256()


@pytest.mark.parametrize(
    "name",
    [
        "gnas_serve/errors.py",
        "gnas_export/profiles/fast.toml",
        "gnas_search/train.py",
        "gnas_serve/kernels/src/search.c",
    ],
)
@pytest.mark.parametrize("change", ["edited", "renamed", "removed"])
def test_every_change_is_another_hash(wheel, tmp_path, name, change):
    path = tmp_path / name
    if change == "edited":
        path.write_bytes(path.read_bytes() + b"\n")
    elif change == "renamed":
        path.rename(path.with_stem("another"))
    else:
        path.unlink()
    assert code_sha256(*wheel) != running_code_sha256()


def test_what_is_no_code_does_not_count(wheel, tmp_path):
    (tmp_path / "gnas_serve" / "notes.txt").write_text("a note")
    assert code_sha256(*wheel) == running_code_sha256()


def test_the_lock_is_of_sorted_versions():
    tools = installed_tools()
    assert set(tools) <= set(TOOLS)
    assert {"numpy", "onnx", "torch"} <= set(tools)
    assert lock_sha256(tools) == lock_sha256(dict(reversed(tools.items())))
    assert lock_sha256({**tools, "numpy": "1.0"}) != lock_sha256(tools)


def test_the_version_is_of_the_files_the_manifest_and_the_packages_that_serve():
    manifest, hashes, packages = (
        Manifest.read(GOLDEN / "v3"),
        {"a.npy": "0" * 64},
        {"numpy": "2.0.0", "faiss-cpu": "1.9"},
    )
    name = versioned(manifest, hashes, packages).version
    assert len(name) == VERSION_DIGITS
    assert versioned(manifest, hashes, dict(reversed(packages.items()))).version == name
    others = [
        versioned(manifest, hashes, {**packages, "numpy": "2.0.1"}),
        versioned(manifest, {"a.npy": "1" * 64}, packages),
        versioned(replace(manifest, newcomers="popularity"), hashes, packages),
    ]
    assert len({name, *(other.version for other in others)}) == 4
