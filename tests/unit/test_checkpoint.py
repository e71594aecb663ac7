"""Checkpoints: damage anywhere is refused by name, and so is what was made by hand with the right hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_checkpoint import blended_checkpoint
from safetensors.numpy import load_file, save

from gnas_search.checkpoint import FORMAT_VERSION, KIND, Checkpoint
from gnas_serve.artifact.store import write_manifest
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError

MANIFEST = "manifest.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "checkpoint"
    blended_checkpoint(num_users=30, num_items=25, filter_dim=6, gnn_dim=4, links=5, events_per_user=6).save(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "checkpoint"))


def test_all_kinds_survive_the_disk(made: Path) -> None:
    given = blended_checkpoint(num_users=30, num_items=25, filter_dim=6, gnn_dim=4, links=5, events_per_user=6)
    read = Checkpoint.load(made)
    assert [branch.facts.kind for branch in read.final.branches] == ["filter", "gnn", "popularity", "two-hop"]
    rows = np.arange(30)
    for name, seen in (("selection", given.train), ("final", given.seen())):
        one, other = getattr(read, name), getattr(given, name)
        assert [branch.facts for branch in one.branches] == [branch.facts for branch in other.branches]
        np.testing.assert_array_equal(one.score_rows(seen)(rows), other.score_rows(seen)(rows))
        np.testing.assert_array_equal(one.branches[0].fold_in, other.branches[0].fold_in)
    assert (read.name, read.spec, read.seed, read.metrics) == (given.name, given.spec, given.seed, given.metrics)
    assert (read.seen() != given.seen()).nnz == 0


@pytest.mark.parametrize("name", ["selection.safetensors", "final.safetensors", "tables.safetensors", MANIFEST])
def test_a_file_that_is_gone_cut_or_altered(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for position in np.linspace(0, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(IntegrityError):
            Checkpoint.load(folder)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        Checkpoint.load(folder)
    path.unlink()
    with pytest.raises((IntegrityError, ConfigError)):
        Checkpoint.load(folder)


def rewritten(
    folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None, *, version: int = FORMAT_VERSION
) -> None:
    """Write the manifest anew, with changes and with hashes that are right."""
    body = json.loads((folder / MANIFEST).read_text())
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    change(body)
    (folder / MANIFEST).unlink()
    write_manifest(folder, kind=KIND, format_version=version, body=body)


def test_it_is_read_when_written_anew(folder: Path) -> None:
    rewritten(folder)
    assert Checkpoint.load(folder).name == "blend"


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["branches"].pop("final"),
        lambda body: body["branches"]["final"].reverse(),
        lambda body: body["branches"]["final"][0].update(kind="fliter"),
        lambda body: body["branches"]["final"][0].update(width=7),
        lambda body: body["branches"]["final"][0].update(item_power=None),
        lambda body: body["branches"]["final"][3].update(width=1),
        lambda body: body["branches"].update(selection=[]),
        lambda body: body.update(branches=[1]),
        lambda body: body.pop("epochs"),
        lambda body: body["data"].pop("fingerprint"),
    ],
)
def test_a_manifest_that_does_not_describe_its_files(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewritten(folder, change)
    with pytest.raises(IntegrityError):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("file", "array", "value"),
    [
        ("final", "3.neighbours.indices", 10_000),
        ("final", "3.neighbours.indices", -5),
        ("selection", "3.neighbours.indptr", 1 << 40),
        ("tables", "train.indices", 10_000),
        ("tables", "valid.indices", -1),
    ],
)
def test_rows_outside_the_matrix_with_the_right_hash(folder: Path, file: str, array: str, value: int) -> None:
    path = folder / f"{file}.safetensors"
    arrays = load_file(path)
    arrays[array][3] = value
    path.write_bytes(save(arrays))
    rewritten(folder)
    with pytest.raises(IntegrityError):
        Checkpoint.load(folder)


def test_a_newer_format(folder: Path) -> None:
    rewritten(folder, version=FORMAT_VERSION + 1)
    with pytest.raises(FormatVersionError):
        Checkpoint.load(folder)
