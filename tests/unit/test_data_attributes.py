"""Attributes of items: from the columns of a file to what is stored, whatever the format, and brought up to date."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from attribute_tables import attributes_of, random_table
from planted_checkpoint import planted_checkpoint

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.attributes import encode_attributes, updated_attributes
from gnas_search.data.features import read_features
from gnas_search.data.tables import Table
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.filters import Filters
from gnas_serve.vocabulary import Vocabulary


def assert_equal(one: Attributes | None, other: Attributes | None) -> None:
    assert one is not None
    assert other is not None
    assert one.facts() == other.facts()
    mine, theirs = one.arrays(), other.arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name], strict=True)


def of_file(frame: pl.DataFrame, ids: range, *, typed: bool = True) -> Attributes:
    table = Table(Path("items.parquet"), frame, typed=typed)
    side = read_features(table, "item_id", Vocabulary.from_ids(ids), "auto", of_items=True)
    assert side.attributes is not None
    attributes, warnings = encode_attributes(side.attributes)
    assert not warnings
    assert attributes is not None
    attributes.check_content()
    return attributes


def as_typed(table: dict[str, list[object]]) -> pl.DataFrame:
    kinds = {"price": pl.Float64, "in_stock": pl.Boolean, "list price": pl.Int64, "not": pl.Float64}
    kinds |= {"category": pl.String, "tags": pl.List(pl.String), "a`b": pl.String}
    return pl.DataFrame({name: pl.Series(values, dtype=kinds[name]) for name, values in table.items()})


@pytest.mark.parametrize("seed", range(5))
def test_columns_of_a_file_are_kept_as_they_are(seed: int) -> None:
    table = random_table(random.Random(seed), 60)
    shuffled = as_typed(table).with_columns(pl.Series("item_id", range(60))).sample(fraction=1, shuffle=True, seed=seed)
    expected = {name: [_without_empty(value) for value in values] for name, values in table.items()}
    found = of_file(shuffled, range(60))
    assert_equal(found, attributes_of(expected))


def _without_empty(value: object) -> object:
    if isinstance(value, list):
        return [word or None for word in value]
    return None if value == "" else value


def test_text_without_types_is_typed_and_items_meet_by_their_ids() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["3", "1", "9"],
            "price": ["1.5", "", "7"],
            "new": ["TRUE", "false", "true"],
            "added": ["2024-01-02", "x", ""],
            "title": ["1984", "", "2001"],
        }
    )
    found = of_file(frame, range(1, 4), typed=False)
    expected = {
        "price": [None, None, 1.5],
        "new": [False, None, True],
        "added": ["x", None, "2024-01-02"],
        "title": [None, None, "1984"],
    }
    assert_equal(found, attributes_of(expected))


def test_times_are_seconds() -> None:
    times = pl.Series([1_700_000_000_000, None], dtype=pl.Datetime("ms"))
    found = of_file(pl.DataFrame({"item_id": [0, 1], "added": times}), range(2))
    assert_equal(found, attributes_of({"added": [1.7e9, None]}))


def test_a_file_without_columns_has_no_attributes() -> None:
    assert encode_attributes(pl.DataFrame({"x": []}).drop("x")) == (None, [])


def test_columns_that_know_nothing() -> None:
    frame = pl.DataFrame(
        {
            "text": pl.Series([None, None], dtype=pl.String),
            "unknown": pl.Series([None, None], dtype=pl.List(pl.String)),
            "empty": pl.Series([[], []], dtype=pl.List(pl.String)),
            "number": pl.Series([None, None], dtype=pl.Float64),
        }
    )
    attributes, _ = encode_attributes(frame)
    assert attributes is not None
    attributes.check_content()
    again, _ = updated_attributes(attributes, attributes, np.array([1, -1]), 2)
    assert_equal(again, attributes)
    filters = Filters(attributes, 2)
    for name, count in (("text", 2), ("unknown", 2), ("empty", 0), ("number", 2)):
        assert len(filters.select(f"{name} is null").rows) == count


def test_prose_is_left_out_with_a_warning() -> None:
    megabyte = "x" * (1 << 20)
    prose = [f"{row}{megabyte}" for row in range(65)]
    frame = pl.DataFrame(
        {"text": prose, "texts": [[one] for one in prose], "same": [megabyte] * 65, "price": range(65)}
    )
    attributes, warnings = encode_attributes(frame.with_columns(pl.col("price").cast(pl.Float64)))
    assert attributes is not None
    assert attributes.names == ("same", "price")
    assert [(warning.code, warning.count) for warning in warnings] == [("attributes_too_large", 2)]
    assert "64 MB: text, texts" in warnings[0].message


OLD = {
    "price": [1.0, 2.0, 3.0, None],
    "category": ["a", "b", None, "d"],
    "tags": [["x"], None, [], ["y", None]],
    "brand": ["m", "n", "m", None],
    "stock": ["many", "few", "few", "few"],
}
NEW = {
    "tags": [["z"], None, ["x", "z"]],
    "price": [20.0, None, 99.0],
    "category": ["c", None, "never"],
    "stock": [7.0, 8.0, 9.0],
    "size": ["s", "l", "xl"],
}
ROWS = np.array([1, 3, -1])


def test_what_newer_data_says_of_its_items_replaces_what_was() -> None:
    found, warnings = updated_attributes(attributes_of(OLD), attributes_of(NEW), ROWS, 4)
    assert not warnings
    expected = {
        "tags": [["x"], ["z"], [], None],
        "price": [1.0, 20.0, 3.0, None],
        "category": ["a", "c", None, None],
        "stock": [None, 7.0, None, 8.0],  # of another kind now: what was said before cannot stand beside it
        "size": [None, "s", None, "l"],
        "brand": ["m", "n", "m", None],
    }
    assert_equal(found, attributes_of(expected))


def test_attributes_of_one_side_alone() -> None:
    old, new = attributes_of(OLD), attributes_of(NEW)
    assert updated_attributes(old, None, ROWS, 4) == (old, [])
    assert updated_attributes(None, None, ROWS, 4) == (None, [])
    found, _ = updated_attributes(None, new, ROWS, 4)
    assert_equal(
        found,
        attributes_of(
            {
                "tags": [None, ["z"], None, None],
                "price": [None, 20.0, None, None],
                "category": [None, "c", None, None],
                "stock": [None, 7.0, None, 8.0],
                "size": [None, "s", None, "l"],
            }
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_checkpoint_keeps_them(tmp_path: Path, seed: int) -> None:

    bare = planted_checkpoint(num_users=20, num_items=30, events_per_user=5)
    attributes = attributes_of(random_table(random.Random(seed), 30))
    replace(bare, item_attributes=attributes).save(tmp_path / "with")
    bare.save(tmp_path / "without")
    assert_equal(Checkpoint.load(tmp_path / "with").item_attributes, attributes)
    assert Checkpoint.load(tmp_path / "without").item_attributes is None
    for name in ("tables", "final", "selection"):
        assert (tmp_path / "with" / f"{name}.safetensors").read_bytes() == (
            tmp_path / "without" / f"{name}.safetensors"
        ).read_bytes()
    assert not (tmp_path / "without" / "attributes.safetensors").exists()
