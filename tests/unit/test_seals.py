"""SHA256SUMS: in coreutils' format, held against the manifest, of artifacts from format version 3 on alone."""

import json
import shutil
import subprocess

import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact import store
from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE, checksums
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND, Manifest
from gnas_serve.errors import FormatVersionError, IntegrityError

COREUTILS = shutil.which("sha256sum")


@pytest.fixture
def artifact(tmp_path):
    return write_tiny_artifact(tmp_path / "artifact", num_users=4, num_items=9)


def test_every_file_is_summed_but_the_seals_and_the_report(artifact):
    lines = (artifact / CHECKSUMS).read_text().splitlines()
    named = [line.split("  ", 1) for line in lines]
    assert [name for _, name in named] == sorted(path.name for path in artifact.iterdir() if path.name != CHECKSUMS)
    assert {name: sha256 for sha256, name in named} == {name: store.file_sha256(artifact / name) for _, name in named}
    (artifact / "report.json").write_text("{}")
    (artifact / SIGNATURE).write_bytes(b"of whoever")
    Manifest.read(artifact)


@pytest.mark.skipif(COREUTILS is None, reason="sha256sum is not installed")
def test_coreutils_agree(artifact):
    command = [str(COREUTILS), "--check", "--strict", CHECKSUMS]
    assert subprocess.run(command, cwd=artifact, capture_output=True).returncode == 0
    path = artifact / "items.vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    done = subprocess.run(command, cwd=artifact, capture_output=True, text=True)
    assert done.returncode == 1
    assert "items.vectors.npy: FAILED" in done.stdout


@pytest.mark.parametrize("verify", [True, False])
def test_any_altered_byte_is_found(artifact, verify):
    path = artifact / CHECKSUMS
    original = path.read_bytes()
    for position in range(0, len(original), 7):
        altered = bytearray(original)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(IntegrityError, match=rf"{CHECKSUMS} was altered: it does not agree with manifest\.json"):
            Manifest.read(artifact, verify=verify)
    path.write_bytes(original)
    Manifest.read(artifact, verify=verify)


@pytest.mark.parametrize("content", [b"", b"\n", None])
def test_without_checksums_it_is_damaged(artifact, content):
    path = artifact / CHECKSUMS
    path.write_bytes(path.read_bytes() + content if content else b"")
    if content is None:
        path.unlink()
    with pytest.raises(IntegrityError, match=CHECKSUMS):
        Manifest.read(artifact)


def test_a_folder_in_their_place_is_damage(artifact):
    (artifact / CHECKSUMS).unlink()
    (artifact / CHECKSUMS).mkdir()
    with pytest.raises(IntegrityError, match=f"{CHECKSUMS} is missing"):
        Manifest.read(artifact)


@pytest.mark.parametrize("name", [CHECKSUMS, SIGNATURE, f"{SIGNATURE}.tmp"])
def test_a_link_to_nothing_in_their_place_is_damage(artifact, name):
    (artifact / name).unlink(missing_ok=True)
    (artifact / name).symlink_to("nothing")
    with pytest.raises(IntegrityError, match=f"{name} is (missing|no file)"):
        Manifest.read(artifact)


@pytest.mark.parametrize("name", [CHECKSUMS, SIGNATURE])
def test_earlier_versions_have_none(tmp_path, name):
    with store.atomic_folder(tmp_path / "a") as folder:
        store.write_manifest(folder, kind=KIND, format_version=2, body={})
        assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    (tmp_path / "a" / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match="is not in the manifest"):
        store.read_manifest(tmp_path / "a", kind=KIND, format_version=FORMAT_VERSION)


def test_checkpoints_have_none(tmp_path):
    with store.atomic_folder(tmp_path / "a") as folder:
        store.write_manifest(folder, kind="checkpoint", format_version=3, body={})
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["manifest.json"]


def test_a_newer_version_is_refused_whatever_else_it_holds(artifact):
    body = json.loads((artifact / "manifest.json").read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    store.write_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION + 1, body={**body, "more": 1})
    with pytest.raises(FormatVersionError, match=f"version {FORMAT_VERSION + 1} is newer than {FORMAT_VERSION}"):
        Manifest.read(artifact)


def test_names_are_in_the_order_of_their_bytes():
    assert checksums({"b": "2" * 64, "B": "1" * 64, "a": "0" * 64}).decode() == (
        f"{'1' * 64}  B\n{'0' * 64}  a\n{'2' * 64}  b\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"provenance": []},
        {"provenance": {}},
        {"provenance": {"hashes": {"data": "0"}}},
        {"created": 7},
    ],
)
def test_a_garbled_provenance_is_damage(artifact, change):
    body = json.loads((artifact / "manifest.json").read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    store.write_manifest(artifact, kind=KIND, format_version=FORMAT_VERSION, body={**body, **change})
    with pytest.raises(IntegrityError, match="garbled"):
        Manifest.read(artifact)
