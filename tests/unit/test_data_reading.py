"""Reading: one dataset whatever the format, ids in their type, times in seconds, one fingerprint per content."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gnas_search.data.interactions import DatasetConfig, Interactions
from gnas_search.data.readers import read_config, read_interactions
from gnas_serve.errors import DataError

WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "parquet": pl.DataFrame.write_parquet,
    "csv": pl.DataFrame.write_csv,
    "tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "jsonl": pl.DataFrame.write_ndjson,
}


def logs(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": rng.integers(5, 50, 300),
            "item_id": [f"sku {item}, «{item}»" for item in rng.integers(0, 30, 300).tolist()],
            "event": rng.choice(["view", "buy"], 300),
            "rating": rng.integers(1, 11, 300) / 2,
            "timestamp": rng.integers(1_600_000_000, 1_700_000_000, 300),
        }
    )


def items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"sku {item}, «{item}»" for item in range(30)],
            "title": [f"Thing {item}" for item in range(30)],
            "price": [item + 0.25 for item in range(30)],
            "new": [item % 2 == 0 for item in range(30)],
            "kind": [None if item == 3 else "ab"[item % 2] for item in range(30)],
        }
    )


def read(folder: Path, **config: object) -> Interactions:
    return read_interactions(folder, DatasetConfig(**config))  # type: ignore[arg-type]


def write(folder: Path, frame: pl.DataFrame, form: str = "parquet", stem: str = "interactions") -> Path:
    folder.mkdir(exist_ok=True)
    WRITERS[form](frame, folder / f"{stem}.{form}")
    return folder


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_gives_the_same_dataset_and_fingerprint(form: str, tmp_path: Path) -> None:
    reference = read(write(write(tmp_path / "reference", logs()), items(), stem="items"))
    other = read(write(write(tmp_path / form, logs(), form), items(), form, "items"))
    assert other.users == reference.users
    assert other.items == reference.items
    assert np.array_equal(other.item_rows, reference.item_rows)
    assert other.timestamps is not None
    assert np.array_equal(other.timestamps, logs()["timestamp"].to_numpy())
    assert other.ratings is not None
    assert np.array_equal(other.ratings, logs()["rating"].to_numpy())
    assert other.events == ("buy", "view")
    assert other.item_titles == reference.item_titles
    assert other.item_features is not None
    assert reference.item_features is not None
    assert other.item_features.names == reference.item_features.names
    assert np.array_equal(other.item_features.values, reference.item_features.values)
    assert other.fingerprint == reference.fingerprint


def test_the_fingerprint_follows_content_and_order_only_where_ties_need_it(tmp_path: Path) -> None:
    frame = logs()
    first = read(write(tmp_path / "a", frame)).fingerprint
    assert read(write(tmp_path / "b", frame.sort("rating", maintain_order=True))).fingerprint == first
    without_time = frame.drop("timestamp")
    plain = read(write(tmp_path / "c", without_time)).fingerprint
    assert read(write(tmp_path / "d", without_time.reverse())).fingerprint == plain != first
    same_time = frame.with_columns(timestamp=pl.lit(1))
    tied = read(write(tmp_path / "e", same_time)).fingerprint
    assert read(write(tmp_path / "f", same_time.reverse())).fingerprint != tied
    for name, value in (("user_id", 999), ("rating", 0.5), ("event", "cart"), ("timestamp", 5)):
        changed = frame.with_columns(
            pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(value)).otherwise(name).alias(name)
        )
        assert read(write(tmp_path / name, changed)).fingerprint != first


def test_the_fingerprint_covers_features_but_not_the_order_of_their_rows(tmp_path: Path) -> None:
    bare = read(write(tmp_path / "bare", logs())).fingerprint
    first = read(write(write(tmp_path / "a", logs()), items(), stem="items")).fingerprint
    turned = items().reverse().select(reversed(items().columns))
    assert read(write(write(tmp_path / "b", logs()), turned, stem="items")).fingerprint == first != bare
    moved = items().with_columns(pl.col("item_id").replace("sku 29, «29»", "sku 290"))
    assert read(write(write(tmp_path / "d", logs()), moved, stem="items")).fingerprint != first
    dearer = items().with_columns(pl.col("price") * 2)
    assert read(write(write(tmp_path / "c", logs()), dearer, stem="items")).fingerprint != first


def csv_ids(folder: Path, users: list[str], **config: object) -> list[int | str]:
    lines = [f"{user},{item}" for user in users for item in ("a", "b")]
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(lines) + "\n")
    read_ids = read_interactions(folder, DatasetConfig(**config)).users  # type: ignore[arg-type]
    return read_ids.ids(range(len(read_ids)))


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (["12", "-3", "0"], [-3, 0, 12]),
        (["007", "12"], ["007", "12"]),
        (["+5", "12"], ["+5", "12"]),
        (["9223372036854775807", "1"], [1, 9223372036854775807]),
        (["9223372036854775808", "1"], ["1", "9223372036854775808"]),
        (["a1b2c3d4", "12345678"], ["12345678", "a1b2c3d4"]),
        (["080442957X", "0345339681"], ["0345339681", "080442957X"]),
    ],
)
def test_csv_ids_are_integers_only_where_all_are_plain_ones(
    written: list[str], ids: list[int | str], tmp_path: Path
) -> None:
    assert csv_ids(tmp_path, written) == ids


def test_the_id_type_can_be_told(tmp_path: Path) -> None:
    assert csv_ids(tmp_path, ["1", "2"], id_type="text") == ["1", "2"]
    assert csv_ids(tmp_path, ["1", "bob"], id_type="text") == ["1", "bob"]
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n007,1\n008,2\n007,2\n")
    assert read(tmp_path, id_type="integer").users.ids([0, 1]) == [7, 8]
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n1,1\nbob,2\n")
    with pytest.raises(DataError, match="row 2 is 'bob', not a 64-bit integer"):
        read(tmp_path, id_type="integer")


@pytest.mark.parametrize("written", ["007", "+7", "-07"])
def test_what_is_no_plain_integer_is_not_read_as_one_beside_integers(written: str, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n1,7\n2,12\n3,-7\n")
    (tmp_path / "items.csv").write_text(f"item_id,price\n12,1\n{written},2\n")
    with pytest.raises(DataError, match=re.escape(f"items.csv: item_id in row 2 is '{written}'")):
        read(tmp_path)
    features = read(tmp_path, id_type="integer").item_features
    assert features is not None
    assert np.isfinite(features.values).all()
    (tmp_path / "interactions.csv").write_text(f"user_id,item_id\n1,{written}\n2,12\n3,013\n")
    assert read(tmp_path).items.ids([0, 1, 2]) == sorted([written, "12", "013"])


def test_integer_ids_in_a_csv_beside_text_ids_are_text(tmp_path: Path) -> None:
    frame = logs().with_columns(item_id=pl.col("item_id").str.extract(r"(\d+)"))
    write(tmp_path, frame)
    write(tmp_path, pl.DataFrame({"item_id": range(30), "price": range(30)}), "csv", "items")
    features = read(tmp_path).item_features
    assert features is not None
    assert np.all(features.values[:, 0][1:] != 0)


@pytest.mark.parametrize(
    "times",
    [
        [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)],
        [date(2024, 1, 1), date(2024, 1, 2)],
        ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"],
        ["2024-01-01T02:00:00+02:00", "2024-01-02T02:00:00+02:00"],
        ["2024-01-01 00:00:00", "2024-01-02 00:00:00"],
        ["2024-01-01", "2024-01-02"],
        ["1704067200", "1704153600.0"],
    ],
)
def test_times_of_any_form_are_seconds(times: list[object], tmp_path: Path) -> None:
    write(tmp_path, pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": times}))
    timestamps = read(tmp_path).timestamps
    assert timestamps is not None
    assert timestamps.tolist() == [1704067200.0, 1704153600.0]


@pytest.mark.parametrize(
    ("split_column", "config", "target"),
    [
        (["train", "train", "test", "train"], {}, "buy"),
        (["train", "test", "test", "train"], {}, None),
        (["train", "test", "test", "train"], {"target_event": "view"}, "view"),
        (["train", "train", "test", "train"], {"split": "random"}, None),
    ],
)
def test_the_target_event_is_told_or_the_only_one_in_test(
    split_column: list[str], config: dict[str, str], target: str | None, tmp_path: Path
) -> None:
    frame = pl.DataFrame(
        {"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 2], "event": ["buy", "view", "buy", "view"]}
    ).with_columns(split=pl.Series(split_column, dtype=pl.Categorical))
    assert read(write(tmp_path, frame), **config).target_event == target


def test_dataset_toml_is_read_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text('target_event = "buy"\nmin_rating = 4\nuser_column = "member"\n')
    config = read_config(tmp_path, {"user_column": "u", "item_column": None})
    assert config == DatasetConfig(target_event="buy", min_rating=4.0, user_column="u")
    assert read_config(tmp_path / "nowhere", {}) == DatasetConfig()
    assert DatasetConfig.from_json(config.to_json()) == config


def test_unsigned_and_small_integers_are_read_as_integers(tmp_path: Path) -> None:
    schema = {"user_id": pl.UInt8, "item_id": pl.UInt64}
    write(tmp_path, pl.DataFrame({"user_id": [1, 2], "item_id": [5, 6]}, schema=schema))
    assert read(tmp_path).items.ids([0, 1]) == [5, 6]
    write(tmp_path, pl.DataFrame({"user_id": [1, 2], "item_id": [5, 2**63]}, schema=schema))
    with pytest.raises(DataError, match="row 2 is 9223372036854775808, not a 64-bit integer"):
        read(tmp_path)


@pytest.mark.parametrize("written", ["02/01/2024", "02-01-2024 10:00:00", "2024/01/02"])
def test_dates_in_another_order_are_refused(written: str, tmp_path: Path) -> None:
    """Day and month could be either: they were read as one of the two in silence."""
    for times, row in (((written, written), 1), (("2024-01-31", written), 2)):
        lines = "\n".join(f"{user},{user},{time}" for user, time in enumerate(times))
        (tmp_path / "interactions.csv").write_text(f"user_id,item_id,timestamp\n{lines}\n")
        with pytest.raises(
            DataError, match=f"row {row} is '{written}', neither a number nor an ISO 8601 time"
        ) as error:
            read(tmp_path)
        assert "2024-01-31" in error.value.hint


def test_a_quoted_nothing_is_missing_as_an_unquoted_one(tmp_path: Path) -> None:
    head = "user_id,item_id,event,rating,timestamp\n"
    (tmp_path / "interactions.csv").write_text(f'{head}"7","2","view","","5"\n"1","3","rating","4.5","6"\n')
    ratings = read(tmp_path).ratings
    assert ratings is not None
    assert np.isnan(ratings[0])
    assert ratings[1] == 4.5
    (tmp_path / "interactions.csv").write_text(f'{head}"7","2","view","1",""\n"1","3","rating","4.5","6"\n')
    with pytest.raises(DataError, match="timestamp is missing in 1 of 2 rows, first in row 1"):
        read(tmp_path)


def test_the_fingerprint_does_not_depend_on_the_unit_of_a_time(tmp_path: Path) -> None:
    found, values = set(), []
    for unit in ("ms", "us", "ns"):
        since = pl.Series([datetime(2020, 1, 1 + item) for item in range(30)]).cast(pl.Datetime(unit))
        shown = pl.Series(range(30)).cast(pl.Duration(unit)) * {"ms": 1, "us": 1_000, "ns": 1_000_000}[unit]
        folder = write(write(tmp_path / unit, logs()), items().with_columns(since=since, shown=shown), stem="items")
        one = read(folder)
        found.add(one.fingerprint)
        assert one.item_features is not None
        values.append(one.item_features.values)
    assert len(found) == 1
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


@pytest.mark.parametrize(
    ("odd", "said"),
    [("true", "mixes yes/no values and text: row 2 holds true, row 1 holds 'a'"), ("1.5", "row 2 holds 1.5, row 1")],
)
def test_texts_beside_what_is_none_in_json_are_refused(odd: str, said: str, tmp_path: Path) -> None:
    lines = ('{"user_id": "a", "item_id": 1}', f'{{"user_id": {odd}, "item_id": 2}}')
    (tmp_path / "interactions.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_a_bare_nan_in_json_lines_is_named_by_row(tmp_path: Path) -> None:
    lines = ('{"user_id": 1, "item_id": 1, "rating": 2}', '{"user_id": 2, "item_id": 2, "rating": NaN}')
    (tmp_path / "interactions.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="row 2: NaN is no JSON: write null"):
        read(tmp_path)
