"""Exported feedback, added to data of every form that is read: other names, types, times, events, formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from added_data import LATER, NOON, OURS, added, folder

from gnas_search.data.addition import add_interactions
from gnas_search.data.interactions import Interactions
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.tables import FORMATS, write_table
from gnas_serve.errors import ConfigError, DataError


def told(read: Interactions) -> set[tuple[Any, ...]]:
    """Who did what when, whatever the form."""
    users, items = read.users.ids(read.user_rows), read.items.ids(read.item_rows)
    times = [None] * len(users) if read.timestamps is None else read.timestamps.tolist()
    return set(zip(map(str, users), items, (read.events[code] for code in read.event_codes), times, strict=True))


def rows(columns: dict[str, Any]) -> set[tuple[Any, ...]]:
    return set(
        zip(map(str, columns["user_id"]), columns["item_id"], columns["event"], columns["timestamp"], strict=True)
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("more_form", ["parquet", "csv", "jsonl"])
def test_any_file_is_added_to_any_other(tmp_path: Path, form: str, more_form: str) -> None:
    data = folder(tmp_path / "ours", OURS, form)
    write_table(pl.DataFrame(LATER), tmp_path / f"more.{more_form}")
    done, read = added(data, tmp_path / f"more.{more_form}")
    assert (done.added, done.present, done.interactions, done.notes) == (4, 0, 8, ())
    assert sorted(path.name for path in (tmp_path / "newer").iterdir()) == [f"interactions.{form}"]
    assert told(read) == rows(OURS) | rows(LATER)
    assert not read.users.is_text


def test_names_ids_and_the_other_files_are_those_of_the_data(tmp_path: Path) -> None:
    renamed = dict(zip(("visitor", "sku", "what", "at"), OURS.values(), strict=True))
    renamed["visitor"], renamed["colour"] = [str(user) for user in OURS["user_id"]], ["red"] * 4
    settings = 'user_column = "visitor"\nitem_column = "sku"\nevent_column = "what"\ntimestamp_column = "at"\n'
    data = folder(tmp_path / "ours", renamed, settings=settings)
    pl.DataFrame({"sku": ["a", "b"], "price": [1.0, 2.0]}).write_csv(data / "items.csv")
    (data / "notes.txt").write_text("mine")
    done, read = added(data, folder(tmp_path / "more", LATER, "jsonl"))
    assert (done.added, read.users.is_text, read.items.is_text) == (4, True, True)
    assert told(read) == rows(OURS) | rows(LATER)
    names = sorted(path.name for path in (tmp_path / "newer").iterdir())
    assert names == ["dataset.toml", "interactions.parquet", "items.csv"]
    assert pl.read_parquet(tmp_path / "newer" / "interactions.parquet")["colour"].null_count() == 4


def test_what_is_there_already_is_not_added_again(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS, "csv")
    more = folder(tmp_path / "more", LATER)
    added(data, more)
    more_still = {name: [*values, values[0]] for name, values in LATER.items()} | {"item_id": ["a", "c", "b", "b", "c"]}
    write_table(pl.DataFrame(more_still), tmp_path / "all.jsonl")
    newer = tmp_path / "newer"
    done = add_interactions(newer, read_config(newer, {}), tmp_path / "all.jsonl", tmp_path / "newest")
    assert (done.added, done.present, done.interactions) == (1, 4, 9)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_ratings_are_kept_where_the_data_has_some(tmp_path: Path, form: str) -> None:
    later = LATER | {"rating": [4.5, None, None, 2.0]}
    data = folder(tmp_path / "ours", OURS | {"rating": [5, 4, 3, 2]}, form)
    _, read = added(data, folder(tmp_path / "more", later))
    assert read.ratings is not None
    assert np.array_equal(read.ratings, [5, 4, 3, 2, 4.5, np.nan, np.nan, 2], equal_nan=True)


SINGLE = pl.Series([4.1, 4.2, 4.3, None], dtype=pl.Float32)
INTEGERS = {"item_id": ["10", "11", "10", "11"]}
SECONDS = ["1700049597.0", "1700049598.50", "1700049599", "1.7000496e9"]
WHOLE = ["1700049597", "1700049598", "1700049599", "-99999999999999999999"]
ISO = ["2023-11-15T13:00:00+01:00", "2023-11-15T12:00:01Z", "2023-11-15T12:00:02.000Z", "2023-11-15T12:00:03Z"]
CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # Of four rows that are added the data has the first three, maybe in another form.
    ({"rating": [5, 4, 3, 2]}, {"rating": [5.0, 4.0, 3.0, 2.5]}, "csv"),
    ({"rating": ["5.00", "4.1", "", "2"]}, {"rating": [5.0, 4.1, None, 3.0]}, "csv"),
    ({"rating": [5, 4, None, 2]}, {"rating": [5.0, 4.0, None, None]}, "parquet"),
    ({"rating": [5, 4, None, 2]}, {"rating": [5.0, 4.0, None, 2.5]}, "jsonl"),
    ({"rating": SINGLE}, {"rating": [4.1, 4.2, 4.3, 4.4]}, "parquet"),
    ({"rating": ["5", "4", "", "2"]}, {"rating": [5.0, 4.0, None, 2.5]}, "parquet"),
    (INTEGERS | {"user_id": ["007", "07", "2", "-3"]}, INTEGERS | {"user_id": ["7", "7", "2", "4"]}, "csv"),
    ({"timestamp": SECONDS}, {"timestamp": [NOON - 3, NOON - 1.5, NOON - 1, NOON + 1]}, "csv"),
    ({"timestamp": WHOLE}, {"timestamp": [NOON - 3, NOON - 2, NOON - 1, NOON]}, "csv"),
    ({"timestamp": ISO}, {"timestamp": [NOON, NOON + 1, NOON + 2, NOON + 4]}, "csv"),
]


@pytest.mark.parametrize(("ours", "later", "form"), CASES)
@pytest.mark.parametrize("more_form", ["csv", "parquet"])
def test_rows_are_compared_by_value(
    tmp_path: Path, ours: dict[str, Any], later: dict[str, Any], form: str, more_form: str
) -> None:
    options = {"id_type": "integer"} if "user_id" in ours else {}
    data, more = folder(tmp_path / "ours", OURS | ours, form), folder(tmp_path / "more", OURS | later, more_form)
    done = add_interactions(data, read_config(data, options), more, tmp_path / "newer")
    assert (done.added, done.present) == (1, 3)
    if form == "csv":  # what was there stays as it was written
        lines = (data / "interactions.csv").read_text()
        assert (done.path / "interactions.csv").read_text().startswith(lines)
    again = add_interactions(done.path, read_config(done.path, options), more, tmp_path / "newest")
    assert (again.added, again.present, again.interactions) == (0, 4, 5)


def test_what_is_given_again_is_added_once_and_counted_apart(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS | {"rating": [5, 4, None, 2]}, "csv")
    # A new one three times, one without a rating that is there twice, and two kinds that become one.
    later = {
        "user_id": [9, 2, 9, 9, 2, 1, 1],
        "item_id": ["a", "a", "a", "a", "a", "c", "c"],
        "event": ["view", "view", "view", "view", "view", "look", "see"],
        "timestamp": [NOON + 1, NOON - 1, NOON + 1, NOON + 1, NOON - 1, NOON + 2, NOON + 2],
        "rating": [None] * 7,
    }
    more = folder(tmp_path / "more", later)
    done, read = added(data, more, events={"view": "view", "look": "view", "see": "view"})
    assert (done.added, done.present, done.repeated, done.interactions) == (2, 1, 4, 6)
    assert len(read.user_rows) == 6
    again = add_interactions(data, read_config(data, {}), more, tmp_path / "views", events={"view": "view"})
    assert (again.added, again.present, again.repeated) == (1, 1, 3)


def test_text_ids_are_compared_as_they_are_written(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS | {"user_id": ["007", "007", "2", "3"]}, "csv")
    more = folder(tmp_path / "more", OURS | {"user_id": ["7", "007", "2", "3"]}, "csv")
    done, read = added(data, more)
    assert (done.added, done.present, read.users.is_text) == (1, 3, True)


@pytest.mark.parametrize(
    ("ours", "later", "form", "wanted"),
    [
        ([5, 4, 3, None], [1.0, 2.5], "csv", ["5", "4", "3", None, "1", "2.5"]),
        ([5.0, 4.5, 3.0, 2.0], [1.0, 4.1], "csv", ["5.0", "4.5", "3.0", "2.0", "1.0", "4.1"]),
        ([5, 4, 3, None], [1.0, None], "parquet", pl.Series([5, 4, 3, None, 1, None])),
        ([5, 4, 3, None], [1.0, 2.5], "parquet", pl.Series([5.0, 4.0, 3.0, None, 1.0, 2.5])),
        (
            pl.Series([5, 4, 3, 2], dtype=pl.Float32),
            [1.0, 4.1],
            "parquet",
            pl.Series([5, 4, 3, 2, 1, 4.1], dtype=pl.Float32),
        ),
        (
            pl.Series([5, 4, 3, 2], dtype=pl.Int8),
            [1.0, 200.0],
            "parquet",
            pl.Series([5.0, 4.0, 3.0, 2.0, 1.0, 200.0]),
        ),
    ],
)
def test_ratings_take_the_form_of_the_data(tmp_path: Path, ours: Any, later: Any, form: str, wanted: Any) -> None:
    data = folder(tmp_path / "ours", OURS | {"rating": ours}, form)
    more = folder(tmp_path / "more", {name: LATER[name][:2] for name in LATER} | {"rating": later})
    add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
    path = tmp_path / "newer" / f"interactions.{form}"
    got = pl.read_parquet(path) if form == "parquet" else pl.read_csv(path, infer_schema=False)
    assert got["rating"].equals(pl.Series(wanted), check_dtypes=True, null_equal=True)


def test_what_the_data_has_no_place_for_is_said(tmp_path: Path) -> None:
    bare = {name: OURS[name] for name in ("user_id", "item_id")} | {"split": ["train", "train", "valid", "test"]}
    data = folder(tmp_path / "ours", bare)
    more = folder(tmp_path / "more", LATER | {"rating": [1.0] * 4})
    done, read = added(data, more, events={"purchase": "purchase"})
    assert (done.added, len(done.notes)) == (1, 4)
    said = ("names other kinds: 2 view", "no column of times", "no column of ratings", "is train")
    assert [word in " ".join(done.notes) for word in said] == [True] * 4
    assert read.parts is not None
    assert read.parts.tolist() == [0, 0, 1, 2, 0]


GUESTS = LATER | {"user_id": ["1", "guest-7", "9", "guest-8"], "event": ["purchase", "view", "purchase", "buy"]}


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("beside", ["odd.jsonl", "odd/odd.csv", "odd.parquet"])
def test_rows_of_ids_without_form_are_left_out_into_a_file(tmp_path: Path, form: str, beside: str) -> None:
    data, more = folder(tmp_path / "ours", OURS, form), folder(tmp_path / "more", GUESTS)
    done, read = added(data, more, left_out=tmp_path / beside)
    assert (done.added, done.left_out, done.interactions, read.users.is_text) == (2, 2, 6, False)
    assert done.notes == (
        "left out, as user_id in row 2 is 'guest-7' and no 64-bit integer: 2 such rows: 2, 4; "
        f"they are in {tmp_path / beside}",
    )
    # Nothing is lost: what was left out can be added where ids are text.
    as_text, kinds = read_config(data, {"id_type": "text"}), {"view": "view", "buy": "buy"}
    texts = add_interactions(data, as_text, tmp_path / beside, tmp_path / "texts", events=kinds)
    assert (texts.added, texts.interactions) == (2, 6)


def test_rows_of_ids_without_form_are_named_where_they_are_refused(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS | {"item_id": [10, 11, 10, 11]}, "csv")
    later = {"user_id": ["guest"] * 5 + ["7"] * 8, "item_id": ["10"] * 8 + ["sku"] * 5, "event": ["view"] * 13}
    more = folder(tmp_path / "more", later | {"timestamp": [NOON] * 13}, "csv")
    with pytest.raises(DataError) as refused:
        add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
    assert "user_id in row 1 is 'guest', not a 64-bit integer as the ids of interactions.csv" in refused.value.message
    assert refused.value.message.endswith("10 such rows: 1, 2, 3, 4, 5, 9, 10, 11, 12, 13")
    assert "--left-out FILE" in refused.value.hint
    # Those of an event that is not taken have no say.
    later["event"] = ["look"] * 5 + ["view"] * 3 + ["look"] * 5
    few = folder(tmp_path / "few", later | {"timestamp": [NOON] * 13})
    done = add_interactions(data, read_config(data, {}), few, tmp_path / "newer", events={"view": "view"})
    assert (done.added, done.repeated, done.dropped, done.left_out) == (1, 2, {"look": 10}, 0)


def test_the_file_of_what_is_left_out_is_made_with_the_data_or_not_at_all(tmp_path: Path) -> None:
    data, more = folder(tmp_path / "ours", OURS), folder(tmp_path / "more", GUESTS)
    config, out = read_config(data, {}), tmp_path / "newer"
    (tmp_path / "mine.csv").write_text("mine")
    for path, said in (("mine.csv", "already exists"), ("odd.txt", "is of no form"), ("newer/odd.csv", "is in")):
        with pytest.raises(ConfigError, match=said):
            add_interactions(data, config, more, out, left_out=tmp_path / path)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(ConfigError, match="already exists"):
        add_interactions(data, config, more, out, left_out=tmp_path / "odd.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"
    plain = folder(tmp_path / "plain", LATER)
    done = add_interactions(data, config, plain, tmp_path / "newest", left_out=tmp_path / "odd.csv")
    assert (done.left_out, done.notes) == (0, ())
    assert not (tmp_path / "odd.csv").exists()


def test_what_has_no_form_in_the_data_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    more = folder(tmp_path / "more", LATER)
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (OURS, LATER | {"user_id": ["1", "2", "guest-7", "1"]}, "user_id in row 3 is 'guest-7', not a 64-bit integer"),
        (OURS | {"timestamp": [1, 2, 3, 4]}, LATER, "timestamp is at most 4, no time since 1970"),
        ({"user_id": [1, 2], "item_id": ["a", "b"]}, LATER, "no column of events"),
        (
            OURS | {"timestamp": ["2023-11-15"] * 4},
            LATER | {"timestamp": [1.0, 2.0, 9e12, 3.0]},
            "outside the years 1 to 9999",
        ),
        (OURS, {name: LATER[name] for name in ("user_id", "item_id", "event")}, "no column 'timestamp'"),
        (OURS, {name: LATER[name] for name in ("user_id", "item_id", "timestamp")}, "no column 'event'"),
        (OURS, {"visitor": [1]}, "no column 'user_id'"),
    ]
    for place, (ours, later, said) in enumerate(cases):
        data, more = folder(tmp_path / f"ours-{place}", ours), folder(tmp_path / f"more-{place}", later)
        with pytest.raises((DataError, ConfigError)) as refused:
            add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
        assert said in refused.value.message
        assert refused.value.hint
    with pytest.raises(ConfigError, match="unknown event 'buy'"):
        add_interactions(
            data, read_config(data, {}), folder(tmp_path / "m", LATER), tmp_path / "newer", events={"buy": "x"}
        )
    for path in ("none.csv", "some.txt"):
        (tmp_path / "some.txt").write_text(json.dumps(LATER))
        with pytest.raises(DataError, match=r"does not exist|of no form"):
            add_interactions(data, read_config(data, {}), tmp_path / path, tmp_path / "newer")
    assert not (tmp_path / "newer").exists()


def test_ids_of_both_types_are_text_where_they_are_meant_so(tmp_path: Path) -> None:
    later = LATER | {"user_id": ["1", "2", "guest-7", "1"]}
    data, more = folder(tmp_path / "ours", OURS), folder(tmp_path / "more", later)
    done = add_interactions(data, read_config(data, {"id_type": "text"}), more, tmp_path / "newer")
    read = read_interactions(done.path, read_config(done.path, {}))
    assert told(read) == rows(OURS) | rows(later)
