"""Features: what kind a column is, how it is encoded, and how rows meet the ids of the logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gnas_search.data.features import SideTable, read_features
from gnas_search.data.tables import Table
from gnas_serve.errors import DataError
from gnas_serve.vocabulary import Vocabulary

COUNT = 40


def encode(**columns: object) -> SideTable:
    frame = pl.DataFrame({"item_id": range(COUNT), **columns})
    table = Table(Path("items.parquet"), frame, typed=True)
    return read_features(table, "item_id", Vocabulary.from_ids(range(COUNT)), "auto", of_items=True)


def column(side: SideTable, name: str) -> np.ndarray:
    assert side.features is not None
    return side.features.values[:, side.features.names.index(name)]


@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_are_standardised_and_missing_ones_are_the_mean(as_text: bool) -> None:
    values = [None if i == 5 else i * 1.5 for i in range(COUNT)]
    price = column(encode(price=[None if v is None else str(v) for v in values] if as_text else values), "price")
    assert price.dtype == np.float32
    assert price[5] == 0
    known = np.delete(price, 5)
    assert known.mean() == pytest.approx(0, abs=1e-6)
    assert known.std() == pytest.approx(1, abs=1e-6)


def test_few_distinct_texts_are_one_hot_and_missing_ones_are_zero() -> None:
    kind = ["ab"[i % 2] if i else None for i in range(COUNT)]
    side = encode(kind=kind)
    assert side.features is not None
    assert side.features.names == ("kind=a", "kind=b")
    assert side.features.values.sum(axis=1).tolist() == [0.0] + [1.0] * (COUNT - 1)
    assert column(side, "kind=b")[1] == 1


@pytest.mark.parametrize("delimiter", ["|", ";", ", ", " "])
def test_delimited_texts_are_multi_hot(delimiter: str) -> None:
    words = ["Action", "Children's", "Comedy", "Drama", "Sci-Fi"]
    genres = [delimiter.join(words[j] for j in range(5) if (i >> j) & 1) or None for i in range(COUNT)]
    side = encode(genres=genres)
    assert side.features is not None
    assert side.features.names == tuple(f"genres={word}" for word in words)
    assert side.features.values.tolist() == [[float((i >> j) & 1) for j in range(5)] for i in range(COUNT)]


def test_lists_are_multi_hot_too() -> None:
    side = encode(tags=[["x"] if i % 2 else ["x", "y"] for i in range(COUNT)])
    assert side.features is not None
    assert side.features.names == ("tags=y",)  # all have x: constant


@pytest.mark.parametrize("values", [[True, False], ["true", "False"], [1, 0]])
def test_yes_and_no_are_one_column(values: list[object]) -> None:
    side = encode(new=[values[i % 2] for i in range(COUNT)])
    assert side.features is not None
    assert side.features.names == ("new",)
    assert column(side, "new")[0] > column(side, "new")[1]


def test_structs_are_ignored_with_a_warning_and_numeric_titles_stay_as_written() -> None:
    side = encode(title=[1984 + i for i in range(COUNT)], parts=[[{"a": i}] for i in range(COUNT)])
    assert side.features is None
    assert [(w.code, w.count) for w in side.warnings] == [("text_columns_ignored", 1)]
    assert side.titles is not None
    assert side.titles[0] == "1984"


def test_dates_are_numbers() -> None:
    day = column(encode(day=pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 2, 9), eager=True)), "day")
    assert np.all(np.diff(day) > 0)


def test_constant_columns_are_dropped_in_silence() -> None:
    side = encode(one=[1] * COUNT, same=["x"] * COUNT, none=[None] * COUNT)
    assert side.features is None
    assert side.warnings == ()


def test_free_text_and_identifiers_are_ignored_with_a_warning_and_titles_are_kept() -> None:
    side = encode(
        title=[f"Thing {i}" for i in range(COUNT)],
        zip_code=[f"Z{i:04d}" for i in range(COUNT)],
        org_id=[str(1000 + i) for i in range(COUNT)],
    )
    assert side.features is None
    assert side.titles == tuple(f"Thing {i}" for i in range(COUNT))
    (warning,) = side.warnings
    assert (warning.code, warning.count) == ("text_columns_ignored", 2)
    assert "zip_code, org_id" in warning.message


def test_rows_are_aligned_to_the_ids_of_the_logs() -> None:
    frame = pl.DataFrame({"item_id": ["c", "a", "x"], "price": [3.0, 1.0, 9.0], "name": ["C", None, "X"]})
    ids = Vocabulary.from_ids(["a", "b", "c"])
    side = read_features(Table(Path("items.parquet"), frame, typed=True), "item_id", ids, "auto", of_items=True)
    assert side.features is not None
    assert side.features.values.ravel().tolist() == [-1.0, 0.0, 1.0]
    assert side.titles == ("", "", "C")
    assert {w.code: w.count for w in side.warnings} == {"items_without_interactions": 1, "items_without_features": 1}


@pytest.mark.parametrize("name", ["row", "word", "literal", "values"])
@pytest.mark.parametrize("values", [["a", "b"], ["a|b", "c"], [["a"], ["b"]]])
def test_a_column_may_have_any_name(name: str, values: list[object]) -> None:
    side = encode(**{name: [values[i % 2] for i in range(COUNT)]})
    assert side.features is not None
    assert {found.split("=")[0] for found in side.features.names} == {name}


@pytest.mark.parametrize("scale", [1.7e308, 1e200, 1e-300, 5e-324])
def test_numbers_of_any_size_are_standardised(scale: float) -> None:
    column_ = column(encode(price=[scale if i % 4 else -scale for i in range(COUNT)]), "price")
    expected = column(encode(price=[1.0 if i % 4 else -1.0 for i in range(COUNT)]), "price")
    np.testing.assert_allclose(column_, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_feature_that_is_no_finite_number_is_refused_with_its_row(value: float) -> None:
    with pytest.raises(DataError, match=r"items\.parquet: feature price in row 3 is (nan|inf), not a finite number"):
        encode(price=[value if i == 2 else 1.0 for i in range(COUNT)])


@pytest.mark.parametrize("columns", [{}, {"price": [1.0, 2.0], "kind": ["a", "a"], "tags": [["x"], ["y"]]}])
def test_a_file_without_columns_or_without_a_known_id_has_no_features(columns: dict[str, list[object]]) -> None:
    frame = pl.DataFrame({"item_id": [7, 8], **columns})
    ids = Vocabulary.from_ids([1, 2, 3])
    side = read_features(Table(Path("items.parquet"), frame, typed=True), "item_id", ids, "auto", of_items=True)
    assert side.features is None
    assert {w.code: w.count for w in side.warnings} == {"items_without_interactions": 2, "items_without_features": 3}
