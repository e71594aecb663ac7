"""Values at the edge of what can be used: settings, ids, ratings and times are used rightly or refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from gnas_search.data.describe import describe
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.splits import split
from gnas_serve.errors import ConfigError, DataError
from gnas_serve.service.schemas import RecommendRequest
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

PAIRS = [(user, item) for user in range(1, 5) for item in range(1, 7)]


def write(folder: Path, header: str, *rows: str, name: str = "interactions.csv") -> Path:
    (folder / name).write_text("\n".join((header, *rows)) + "\n")
    return folder


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("split_seed = -1", "split_seed is -1, below 0"),
        ("split_seed = 1.0", "split_seed is 1.0, not of type int"),
        ('user_column = ""', "user_column is empty"),
        ("item_column = 3", "item_column is 3, not of type str"),
        ("target_event = ['buy']", r"target_event is \['buy'\], not of type str"),
        ("min_rating = 1e39", "min_rating is 1e+39, more than a rating can be"),
        (f"min_rating = {10**400}", "min_rating is 1"),
        ("min_rating = inf", "min_rating is inf"),
        ("split = 'temporel'", "split: unknown split 'temporel'"),
        ("id_type = 'number'", "id_type: unknown id type 'number'"),
        ("event_column = 'rating'", "event_column and rating_column: column 'rating' is given two meanings"),
        ("user_column = 2026-01-01", "user_column is datetime.date"),
    ],
)
def test_a_wrong_setting_is_refused_naming_file_and_key(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path, {})
    assert caught.value.message.startswith(f"{tmp_path / 'dataset.toml'}: {said.replace(chr(92), '')}")
    assert len(caught.value.message) < 300 + len(str(tmp_path))


def test_every_setting_has_a_wrong_value_above() -> None:
    marks = test_a_wrong_setting_is_refused_naming_file_and_key.pytestmark
    written = " ".join(text for mark in marks for text, _ in mark.args[1])
    columns = {"timestamp_column", "split_column"}  # as the other columns
    assert {name for name in DatasetConfig().to_json() if name not in written} <= columns | {"rating_column"}


def test_a_wrong_flag_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flags: split: unknown split 'temporel'"):
        read_config(tmp_path, {"split": "temporel"})


@pytest.mark.parametrize(("length", "row"), [(MAX_ID_CHARACTERS, None), (MAX_ID_CHARACTERS + 1, 7)])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_ids_too_long_to_be_asked_for_are_refused_at_reading(
    column: str, length: int, row: int | None, tmp_path: Path
) -> None:
    long = "é" * length
    pairs = [(f"u{user}", f"i{item}") for user, item in PAIRS]
    pairs[6] = (long, "i1") if column == "user_id" else ("u2", long)
    folder = write(tmp_path, "user_id,item_id", *(f"{user},{item}" for user, item in pairs))
    if row is None:
        read_interactions(folder, DatasetConfig())
        RecommendRequest(user_id=long, history=(long,))  # the doors take what the data may hold
        return
    said = f"interactions.csv: {column} in row {row} has {length} characters, {MAX_ID_CHARACTERS} at most"
    with pytest.raises(DataError) as caught:
        read_interactions(folder, DatasetConfig())
    assert said in caught.value.message


def test_a_rating_beyond_single_precision_is_refused_with_its_row(tmp_path: Path) -> None:
    rows = [f"{user},{item},{1e39 if (user, item) == (2, 3) else 4}" for user, item in PAIRS]
    with pytest.raises(DataError, match=r"rating in row 9 is '1e\+39'"):
        read_interactions(write(tmp_path, "user_id,item_id,rating", *rows), DatasetConfig())


@pytest.mark.parametrize("scale", [1.7e308, 1e-320])
def test_times_of_any_size_order_and_scale(scale: float, tmp_path: Path) -> None:
    rows = [f"{user},{item},{scale * ((item - 3) / 4)!r}" for user, item in PAIRS]
    folder = write(tmp_path, "user_id,item_id,timestamp", *rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interactions = read_interactions(folder, DatasetConfig())
        dataset, test = split(interactions)
        assert test.num_relevant.sum() == 4
        recency = dataset.item_recency
        assert recency is not None
        assert np.isfinite(recency).all()
        assert (recency.min(), recency.max()) == (0.0, 1.0)
        describe(interactions, dataset, test)
