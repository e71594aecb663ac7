"""Attributes of items on the whole road: from a file through search, train, finetune and export into an artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attribute_tables import attributes_of
from search_world import SPACE, Gnas, calling, run

from gnas_export.retrieval.content import ContentTerms
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.filters import Filters
from gnas_serve.runtime.tables import Tables

NUM_ITEMS = 90


def said(rng: np.random.Generator, count: int) -> dict[str, list[Any]]:
    """Draw what a file says of items, with gaps."""

    def gaps(values: list[Any]) -> list[Any]:
        return [None if rng.random() < 0.2 else value for value in values]

    tags = [[str(tag) for tag in rng.choice(["new", "sale", "größe"], rng.integers(0, 3))] for _ in range(count)]
    return {
        "title": [f"Item Nr. {place}" for place in range(count)],
        "price": gaps(rng.uniform(1, 90, count).round(2).tolist()),
        "in_stock": gaps((rng.random(count) < 0.5).tolist()),
        "category": gaps(rng.choice(["bags", "shoes"], count).tolist()),
        "tags": gaps(tags),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "data").mkdir()
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((120, NUM_ITEMS)) < 0.15)
    log = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": rng.permutation(len(users))})
    log.write_parquet(folder / "data" / "interactions.parquet")
    # One item more than the log has, and some of the log that the file says nothing of.
    columns = {"item_id": [*range(5, NUM_ITEMS), 1000], **said(rng, NUM_ITEMS - 4)}
    pl.DataFrame(columns).sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "data" / "items.parquet")
    (folder / "space.toml").write_text(SPACE)
    search = ("search", folder / "data", "--out", folder / "study", "--space", folder / "space.toml", "--trials", 2)
    assert run(*search) == 0
    assert run("train", folder / "data", "--study", folder / "study", "--out", folder / "checkpoint") == 0
    (folder / "any.toml").write_text("[gates]\nbaseline_loss = 1\nquality_loss = 1\n")
    export(folder, "checkpoint", "artifact")
    return folder


def export(folder: Path, checkpoint: str, out: str) -> None:
    given = ("--profile", folder / "any.toml", "--ranker", "never", "--out", folder / out)
    assert run("export", folder / checkpoint, *given) == 0


def in_artifact(artifact: Path) -> tuple[dict[str, Any], list[int]]:
    manifest = Manifest.read(artifact)
    tables = Tables.open(artifact, manifest)
    tables.check_content(manifest)
    assert tables.attributes is not None
    return dict(tables.attributes.columns), tables.items.ids(range(manifest.num_items))  # type: ignore[return-value]


def in_file(data: Path, ids: list[int]) -> dict[str, list[Any]]:
    """What the file says of items, in the order of ids; None of what it does not have."""
    frame = pl.read_parquet(data / "items.parquet")
    found = pl.DataFrame({"item_id": ids}).join(frame, on="item_id", how="left", maintain_order="left")
    return {name: found[name].to_list() for name in found.columns if name != "item_id"}


def assert_are(columns: dict[str, Any], expected: dict[str, list[Any]]) -> None:
    wanted = attributes_of(expected).columns
    assert columns.keys() == wanted.keys()
    for name, column in wanted.items():
        for part, values in vars(column).items():
            if part == "words":
                assert getattr(columns[name], part) == values, name
            else:
                np.testing.assert_array_equal(getattr(columns[name], part), values, err_msg=name, strict=True)


def test_an_artifact_says_of_its_items_what_the_file_says(world: Path) -> None:
    columns, ids = in_artifact(world / "artifact")
    assert len(ids) > 80
    assert_are(columns, in_file(world / "data", ids))


def test_filters_over_an_artifact(world: Path) -> None:
    manifest = Manifest.read(world / "artifact")
    tables = Tables.open(world / "artifact", manifest)
    file = in_file(world / "data", tables.items.ids(range(manifest.num_items)))  # type: ignore[arg-type]
    found = Filters(tables.attributes, manifest.num_items).select(
        "price < 45 and in_stock == true and not tags has 'sale' and title is not null"
    )
    expected = [
        row
        for row in range(manifest.num_items)
        if file["price"][row] is not None
        and file["price"][row] < 45
        and file["in_stock"][row]
        and file["tags"][row] is not None
        and "sale" not in file["tags"][row]
    ]
    assert expected
    assert found.rows.tolist() == expected


def test_inspect_lists_them(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gnas: Gnas = calling(capsys)
    code, out, _ = gnas("inspect", world / "artifact", "--output", "json")
    assert code == 0
    kinds = {fact["name"]: fact["kind"] for fact in json.loads(out)["attributes"]}
    wanted = {"title": "text", "price": "number", "in_stock": "number", "category": "text", "tags": "words"}
    assert kinds == wanted
    code, out, _ = gnas("inspect", world / "artifact")
    assert code == 0
    assert "category (text)" in " ".join(out.split())


def test_the_forecast_counts_them(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gnas: Gnas = calling(capsys)
    replace(Checkpoint.load(world / "checkpoint"), item_attributes=None).save(world / "forgetful")
    given = ("--profile", world / "any.toml", "--ranker", "never", "--out", world / "none", "--output", "json")
    told = []
    for name in ("checkpoint", "forgetful"):
        code, out, _ = gnas("export", world / name, *given, "--dry-run")
        assert code == 0
        told.append(json.loads(out)["forecast"]["artifact_bytes"])
    files = (world / "artifact").glob("items.attributes.*")
    # A content encoder is taken to ship, which nobody knows before.
    checkpoint = Checkpoint.load(world / "checkpoint")
    table = ContentTerms.of(checkpoint.item_attributes).table(np.arange(len(checkpoint.items)))
    assert told[0] - told[1] == sum(path.stat().st_size for path in files) + table.size_bytes > table.size_bytes


def test_fine_tuning_brings_them_up_to_date(world: Path) -> None:
    newer = world / "newer"
    newer.mkdir()
    log = pl.read_parquet(world / "data" / "interactions.parquet")
    more = pl.DataFrame({"user_id": range(120), "item_id": [user % NUM_ITEMS for user in range(120)]})
    more = more.with_columns(timestamp=pl.lit(10**6) + pl.int_range(120)).cast(dict(log.schema))
    pl.concat([log, more]).write_parquet(newer / "interactions.parquet")
    file = pl.read_parquet(world / "data" / "items.parquet")
    file.with_columns(price=pl.col("price") * 2).drop("tags").write_parquet(newer / "items.parquet")
    assert run("finetune", world / "checkpoint", newer, "--out", world / "tuned") == 0
    export(world, "tuned", "tuned-artifact")
    columns, ids = in_artifact(world / "tuned-artifact")
    expected = in_file(newer, ids) | {"tags": in_file(world / "data", ids)["tags"]}
    assert_are(columns, expected)
    assert Checkpoint.load(world / "tuned").item_attributes is not None


def test_data_without_attributes_makes_none(world: Path) -> None:
    bare = world / "bare"
    bare.mkdir()
    (bare / "interactions.parquet").write_bytes((world / "data" / "interactions.parquet").read_bytes())
    (world / "knn.json").write_text(json.dumps({"kind": "two-hop", "neighbours": 20}))
    assert run("train", bare, "--spec", world / "knn.json", "--out", world / "bare-checkpoint") == 0
    export(world, "bare-checkpoint", "bare-artifact")
    manifest = Manifest.read(world / "bare-artifact")
    assert manifest.attributes == ()
    assert "attributes" not in json.loads((world / "bare-artifact" / "manifest.json").read_text())
    assert Tables.open(world / "bare-artifact", manifest).attributes is None
    assert not list((world / "bare-artifact").glob("items.attributes.*"))
