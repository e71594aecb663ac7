"""Checkpoints: damage anywhere is refused by name, and so is what was made by hand with the right hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_checkpoint import blended_checkpoint, planted_checkpoint
from safetensors.numpy import load_file, save

from gnas_search.checkpoint import FORMAT_VERSION, KIND, Checkpoint
from gnas_serve.artifact.store import write_manifest
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError, NoViableTrialError

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
        lambda body: body["data"].update(events="view"),
        lambda body: body["data"].update(events=["view", 1]),
        lambda body: body.update(finetuned_from="another"),
        lambda body: body.update(finetuned_from={"name": "a", "digest": "b", "times": "twice"}),
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


def altered(folder: Path, file: str, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the arrays of a file, with hashes that are right."""
    path = folder / f"{file}.safetensors"
    arrays = load_file(path)
    change(arrays)
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    rewritten(folder)


ROWS_LOST = [
    ("final", "0.user_vectors"),
    ("selection", "1.item_vectors"),
    ("final", "0.fold_in"),
    ("tables", "items.features"),
    ("tables", "users.features"),
    ("tables", "items.recency"),
    ("tables", "train.indptr"),
    ("tables", "train.indices"),
    ("tables", "valid.indptr"),
    ("final", "3.neighbours.indptr"),
    ("final", "3.neighbours.indices"),
    ("final", "3.neighbours.values"),
    ("tables", "items.offsets"),
    ("tables", "items.ids"),
]


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a checkpoint that has every array there is."""
    folder = tmp_path_factory.mktemp("complete") / "checkpoint"
    given = blended_checkpoint(num_users=30, num_items=25, filter_dim=6, gnn_dim=4, links=5, events_per_user=6)
    features = planted_checkpoint(num_users=30, num_items=25, events_per_user=6)
    replace(
        given,
        item_features=features.item_features,
        user_features=features.user_features,
        item_recency=features.item_recency,
    ).save(folder)
    return folder


@pytest.fixture
def whole(complete: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "complete"))


def test_it_is_read_when_its_arrays_are_written_anew(whole: Path) -> None:
    for file in ("selection", "final", "tables"):
        altered(whole, file, lambda _: None)
    assert Checkpoint.load(whole).item_recency is not None


@pytest.mark.parametrize(("file", "array"), ROWS_LOST)
def test_an_array_that_is_too_short_with_the_right_hash(whole: Path, file: str, array: str) -> None:
    altered(whole, file, lambda arrays: arrays.update({array: arrays[array][:-1]}))
    with pytest.raises(IntegrityError, match=rf"{file}\.safetensors: ") as caught:
        Checkpoint.load(whole)
    assert array.partition(".")[0] in caught.value.message
    assert caught.value.exit_code == 8
    assert caught.value.hint


@pytest.mark.parametrize("file", ["selection", "final"])
@pytest.mark.parametrize(("side", "expected"), [("user", r"\(30, "), ("item", r"\(25, ")])
def test_vectors_of_fewer_than_the_vocabulary(whole: Path, file: str, side: str, expected: str) -> None:
    def shorten(arrays: dict[str, np.ndarray]) -> None:
        for name in [name for name in arrays if name.endswith(f"{side}_vectors")]:
            arrays[name] = arrays[name][:-1]

    altered(whole, file, shorten)
    with pytest.raises(IntegrityError, match=rf"{file}\.safetensors: .*{side}_vectors has shape .*{expected}"):
        Checkpoint.load(whole)


@pytest.mark.parametrize(
    ("file", "array"), [*ROWS_LOST[:6], ("final", "3.neighbours.values"), ("final", "2.item_vectors")]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_finite_number_with_the_right_hash(whole: Path, file: str, array: str, value: float) -> None:
    altered(whole, file, lambda arrays: arrays[array].reshape(-1).__setitem__(3, value))
    with pytest.raises(IntegrityError, match=rf"{file}\.safetensors: .*{array}.* no finite number"):
        Checkpoint.load(whole)


@pytest.mark.parametrize(("file", "array"), ROWS_LOST)
def test_an_array_of_another_type_with_the_right_hash(whole: Path, file: str, array: str) -> None:
    altered(whole, file, lambda arrays: arrays.update({array: arrays[array].astype(np.float64)}))
    with pytest.raises(IntegrityError, match=rf"{file}\.safetensors: .*{array}.*float64"):
        Checkpoint.load(whole)


def test_an_array_of_another_form_with_the_right_hash(whole: Path) -> None:
    for file, array in ROWS_LOST:
        folder = whole.with_name(f"{file} {array}")
        shutil.copytree(whole, folder)
        altered(folder, file, lambda arrays, name=array: arrays.update({name: arrays[name][None]}))
        with pytest.raises(IntegrityError, match=rf"{file}\.safetensors: "):
            Checkpoint.load(folder)


def swapped(arrays: dict[str, np.ndarray], name: str) -> None:
    arrays[name][[0, 1]] = arrays[name][[1, 0]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda arrays: swapped(arrays, "users.ids"), "users: ids do not ascend"),
        (lambda arrays: arrays["items.ids"].__setitem__(slice(5, 10), ord("z")), "items: ids do not ascend"),
        (lambda arrays: arrays["items.ids"].__setitem__(0, 0xFF), "items: .*utf-8"),
        (lambda arrays: arrays["items.offsets"].__setitem__(0, 1), "items.offsets"),
        (lambda arrays: arrays["items.offsets"].__setitem__(3, 1 << 40), "items.offsets"),
        (lambda arrays: arrays.update({"items.offsets": np.empty(0, np.int64)}), "items.offsets"),
        (lambda arrays: arrays.pop("items.offsets"), "items.ids"),
        (lambda arrays: arrays.pop("users.ids"), "users.ids"),
        (lambda arrays: arrays.pop("valid.indices"), "valid.indices"),
        (lambda arrays: arrays.update({"users.ids": arrays["users.ids"][:-1]}), "train.indptr"),
    ],
)
def test_ids_that_are_no_vocabulary(whole: Path, change: Callable[[Any], object], expected: str) -> None:
    altered(whole, "tables", change)
    with pytest.raises(IntegrityError, match=rf"tables\.safetensors: .*{expected}"):
        Checkpoint.load(whole)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("fit", ["selection", "final"])
def test_what_is_not_finite_is_never_written(tmp_path: Path, fit: str, place: int) -> None:
    given = blended_checkpoint(num_users=30, num_items=25, filter_dim=6, gnn_dim=4, links=5, events_per_user=6)
    branches = list(getattr(given, fit).branches)
    with np.errstate(over="ignore", invalid="ignore"):
        branches[place] = branches[place].weighted(np.inf)
    broken = replace(given, **{fit: replace(getattr(given, fit), branches=tuple(branches))})
    facts = branches[place].facts
    with pytest.raises(NoViableTrialError, match=f"{fit} fit: .*{facts.kind} branch {facts.name}") as caught:
        broken.save(tmp_path / "checkpoint")
    assert caught.value.code == "not_finite"
    assert "spread" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_kinds_of_events_survive_the_disk(folder: Path, tmp_path: Path) -> None:
    without = Checkpoint.load(folder)
    assert (without.events, "events" in json.loads((folder / MANIFEST).read_text())["data"]) == ((), False)
    replace(without, events=("buy", "view")).save(tmp_path / "told")
    assert Checkpoint.load(tmp_path / "told").events == ("buy", "view")


def test_a_newer_format(folder: Path) -> None:
    rewritten(folder, version=FORMAT_VERSION + 1)
    with pytest.raises(FormatVersionError):
        Checkpoint.load(folder)


def test_what_was_fine_tuned_is_of_the_format_that_earlier_versions_refuse(folder: Path, tmp_path: Path) -> None:
    trained = Checkpoint.load(folder)
    lineage = {"name": "one", "digest": "0" * 64, "times": 1}
    replace(trained, finetuned_from=lineage).save(tmp_path / "tuned")
    versions = [
        json.loads((path / "manifest.json").read_bytes())["format_version"] for path in (folder, tmp_path / "tuned")
    ]
    assert versions == [2, FORMAT_VERSION] == [2, 3]
    assert Checkpoint.load(tmp_path / "tuned").finetuned_from == lineage
