"""What people type and what stands in their data is shown as it is: never as markup, emoji or a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from forked_cli import Ended, ForkedCli
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import FORMAT_VERSION, KIND
from gnas_serve.artifact.store import MANIFEST, write_manifest
from gnas_serve.vocabulary import Vocabulary

ODD = "[/x] [bold]b[/bold] :smile:"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "[/b] :cat:"
    return write_tiny_artifact(folder / "artifact", text_ids=True)


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    with ForkedCli("bentoml.bentos", "gnas_serve.runtime.recommender", "polars") as running:
        yield running


Call = Callable[..., Ended]


@pytest.fixture
def gnas_serve(cli: ForkedCli) -> Call:
    """Give a function that runs a command in a folder; its words may be bytes, as a shell hands them on."""

    def call(folder: Path, *arguments: str | bytes) -> Ended:
        return cli.run([os.fsdecode(word) for word in arguments], folder, {**os.environ})

    return call


def test_ids_paths_and_tags(gnas_serve: Call, artifact: Path) -> None:
    for arguments, status, shown in (
        (["recommend", str(artifact), "--user", ODD], 0, ODD),
        (["recommend", str(artifact), "--user", b"\xff"], 0, "for \\udcff"),
        (["recommend", str(artifact), "--user", b"\xff", "--output", "json"], 0, "item-"),
        (["explain", str(artifact), "--user", ODD, "--item", "item-0001"], 0, f"item-0001 for {ODD}"),
        (["explain", str(artifact), "--item", ODD], 2, ODD),
        (["recommend", ODD, "--user", "1"], 2, f"error: {ODD}: does not exist"),
        (["inspect", str(artifact)], 0, "tiny, version test-0"),
        (["verify", str(artifact)], 0, f"{artifact} is whole"),
        (["serve", "A:smile:C"], 2, "error: 'A:smile:C' is neither"),
        (["serve", "a b"], 2, "'a b' is neither"),
        (["serve", "é"], 2, "'é' is neither"),
        (["serve", "x" * 300], 2, "is neither"),
        (["serve", "~nobody-of-this-name"], 2, "is neither"),
        (["build", str(artifact), "--tag", "[/x]:1"], 2, "'[/x]' is not a name"),
        (["search", "--budget", "[/x]", "data", "--out", "study"], 2, "'[/x]'"),
        (["[/x]"], 2, "[/x]"),
    ):
        done = gnas_serve(artifact.parent, *arguments)
        assert done.returncode == status, (arguments, done.stderr)
        assert shown in done.stdout + done.stderr.replace("\n", ""), (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


STEERING = "\x1b]0;X\x07\x1b[2J\x9b1m\x7f\u202e\u2066"
SPELLED = r"\x1b]0;X\x07\x1b[2J\x9b1m\x7f\u202e\u2066"


def test_what_would_steer_a_terminal_is_spelled_out(gnas_serve: Call, tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "artifact", text_ids=True)
    body = json.loads((folder / MANIFEST).read_text())
    items = Vocabulary.from_ids([f"{STEERING}{row:04d}" for row in range(body["num_items"])])
    np.save(folder / LAYOUT.item_ids, items.values)
    np.save(folder / LAYOUT.item_id_offsets, items.offsets)
    for name in ("kind", "format_version", "files", "digest"):
        del body[name]
    write_manifest(folder, kind=KIND, format_version=FORMAT_VERSION, body={**body, "name": f"tiny{STEERING}"})
    item = f"{STEERING}0001"
    for arguments, status in (
        (["recommend", folder, "--user", "user-0001"], 0),
        (["recommend", folder, "--user", STEERING], 0),
        (["explain", folder, "--user", "user-0001", "--item", item], 0),
        (["explain", folder, "--user", "user-0001", "--item", f"{STEERING}?"], 2),
        (["inspect", folder], 0),
        (["verify", folder], 0),
        (["inspect", tmp_path / f"no{STEERING}"], 2),
        (["search", "--budget", STEERING, "data", "--out", "study"], 2),
        ([STEERING], 2),
    ):
        done = gnas_serve(tmp_path, *map(str, arguments))
        assert done.returncode == status, (arguments, done.stderr)
        assert SPELLED in (done.stdout + done.stderr).replace("\n", ""), (arguments, done.stdout, done.stderr)
        assert not (set(STEERING) - set(SPELLED)) & set(done.stdout + done.stderr), arguments
    done = gnas_serve(tmp_path, "recommend", str(folder), "--user", "user-0001", "--output", "json")
    assert json.loads(done.stdout)["items"][0]["item_id"].startswith(STEERING)


def test_columns_events_and_folders_of_data(gnas_serve: Call, tmp_path: Path) -> None:
    data = tmp_path / "[/data] :dog:"
    data.mkdir(parents=True)
    rows = [(user, item, "[/e]") for user in range(30) for item in range(user % 7, 20, 1 + user % 3)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "event"], orient="row")
    frame.write_parquet(data / "interactions.parquet")
    items = pl.DataFrame({"item_id": list(range(20)), "[/b]": [float(item) for item in range(20)]})
    items.write_parquet(data / "items.parquet")
    for command, shown in (("validate", f"{data}: valid"), ("describe", "event [/e]"), ("describe", "[/b]")):
        done = gnas_serve(tmp_path, "data", command, str(data))
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
        assert "\\[" not in done.stdout
    done = gnas_serve(tmp_path, "data", "validate", str(data), "--target-event", "[/nothing]")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "[/nothing]" in done.stderr
