"""The data commands through the real entry point: every bad input has its exit code, and one line that says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from gnas_serve.cli.app import main

GOOD_CSV = "user_id,item_id\n" + "".join(f"{user},{item}\n" for user in range(1, 5) for item in range(1, 6))


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as caught:
            main(["data", *map(str, arguments)])
        captured = capsys.readouterr()
        return Result(int(caught.value.code or 0), captured.out, captured.err)

    return call


def fill(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def logs(*lines: str, header: str = "user_id,item_id") -> dict[str, str | bytes]:
    return {"interactions.csv": "\n".join((header, *lines)) + "\n"}


FEW = ("1,10", "1,11", "1,12", "2,10", "2,11", "2,13")

BAD_DATA: dict[str, tuple[dict[str, str | bytes], list[str]]] = {
    "no file": ({"README.md": "x"}, ["holds no interactions.{parquet,csv,tsv,jsonl}"]),
    "two files": ({"interactions.csv": GOOD_CSV, "interactions.tsv": "x"}, ["interactions.csv and interactions.tsv"]),
    "0 bytes": ({"interactions.csv": ""}, ["interactions.csv is empty"]),
    "blank": ({"interactions.csv": "\n\n"}, ["interactions.csv is empty"]),
    "0 bytes parquet": ({"interactions.parquet": b""}, ["interactions.parquet is empty"]),
    "header only": ({"interactions.csv": "user_id,item_id\n"}, ["interactions.csv has no rows"]),
    "header and blank lines": ({"interactions.csv": "user_id,item_id\n\n\n"}, ["interactions.csv has no rows"]),
    "missing column": (
        logs(*FEW, header="user,item_id"),
        ["no column 'user_id'; found: user, item_id", "--user-column"],
    ),
    "missing item column": (logs(*FEW, header="user_id,sku"), ["no column 'item_id'", "--item-column"]),
    "null id": (logs(*FEW[:3], "2,", ",11", "2,13"), ["user_id is missing in 1 of 6 rows, first in row 5"]),
    "mixed ids, a stray text": (
        logs(*FEW, "abc,10"),
        ["user_id mixes integers and text", "row 1 holds 1", "row 7", "'abc'"],
    ),
    "mixed ids, a stray number": (
        logs("u1,10", "u1,11", "u2,10", "37,11"),
        ["user_id mixes integers and text: row 4 holds 37, row 1 holds 'u1'"],
    ),
    "mixed ids in jsonl": (
        {"interactions.jsonl": '{"user_id": "7", "item_id": 1}\n\n{"user_id": 8, "item_id": 2}\n'},
        ["user_id mixes integers and text: row 2 holds 8, row 1 holds '7'"],
    ),
    "decimal ids": (logs("1.0,10", "2.0,11"), ["user_id holds decimal numbers"]),
    "id of 70 bits": (
        {"interactions.jsonl": '{"user_id": 1, "item_id": 1}\n{"user_id": 1180591620717411303424, "item_id": 2}\n'},
        ["user_id", "interactions.jsonl"],
    ),
    "rating": (
        logs(*(f"{r},4" for r in FEW), "2,14,good", header="user_id,item_id,rating"),
        ["rating in row 7 is 'good'"],
    ),
    "rating NaN": (
        logs(*(f"{r},4" for r in FEW), "2,14,nan", header="user_id,item_id,rating"),
        ["rating in row 7 is 'nan'"],
    ),
    "rating infinite": (logs("1,10,inf", "2,11,3", header="user_id,item_id,rating"), ["rating in row 1 is 'inf'"]),
    "timestamp": (
        logs("1,10,5", "1,11,soon", "2,11,3", header="user_id,item_id,timestamp"),
        ["timestamp in row 2 is 'soon', neither a number nor an ISO 8601 time"],
    ),
    "timestamp among dates": (
        logs("1,10,2024-01-05", "1,11,2024-13-45", "2,11,2024-01-07", header="user_id,item_id,timestamp"),
        ["timestamp in row 2 is '2024-13-45'"],
    ),
    "timestamp missing": (
        logs("1,10,5", "1,11,", "2,11,3", header="user_id,item_id,timestamp"),
        ["timestamp is missing in 1 of 3 rows, first in row 2"],
    ),
    "timestamp NaN": (logs("1,10,5", "2,11,NaN", header="user_id,item_id,timestamp"), ["timestamp in row 2 is 'NaN'"]),
    "event missing": (logs("1,10,view", "2,11,", header="user_id,item_id,event"), ["event is missing in 1 of 2 rows"]),
    "split value": (
        logs("1,10,train", "2,11,holdout", header="user_id,item_id,split"),
        ["split in row 2 is 'holdout', not one of train, valid"],
    ),
    "split of lists": (
        {
            "interactions.jsonl": '{"user_id": 1, "item_id": 1, "split": ["train"]}\n'
            '{"user_id": 2, "item_id": 2, "split": ["test"]}\n'
        },
        ["split holds List(String) values"],
    ),
    "one item": (logs("1,10", "2,10", "3,10"), ["only one of the items"]),
    "one user": (logs("1,10", "1,11", "1,12"), ["only one of the users"]),
    "too little to validate on": (
        logs("1,10", "2,11"),
        ["no interaction of the target event (interaction) is left for validation"],
    ),
    "corrupt parquet": (
        {"interactions.parquet": b"PAR1 and no more"},
        ["interactions.parquet cannot be read as parquet"],
    ),
    "ragged csv": ({"interactions.csv": GOOD_CSV + "1,2,3\n"}, ["interactions.csv cannot be read as csv"]),
    "open quote": ({"interactions.csv": GOOD_CSV + '1,"2\n'}, ["interactions.csv cannot be read as csv"]),
    "not UTF-8": (
        {"interactions.csv": GOOD_CSV.encode() + b"1,\xff\xfe\n"},
        ["interactions.csv cannot be read as csv"],
    ),
    "malformed jsonl": (
        {"interactions.jsonl": '{"user_id": 1, "item_id": 1}\n{"user_id": 2, "item_id":\n'},
        ["interactions.jsonl cannot be read as jsonl: row 2"],
    ),
    "jsonl of lists": ({"interactions.jsonl": "[1, 2]\n"}, ["row 1 is not a JSON object"]),
    "NaN in a feature": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,price\n1,3.5\n2,nan\n"},
        ["items.csv: feature price in row 2 is 'nan'"],
    ),
    "item twice": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,price\n1,3\n2,4\n1,5\n"},
        ["items.csv: item_id '1' in row 3 occurs before"],
    ),
    "items without ids": (
        {"interactions.csv": GOOD_CSV, "items.csv": "sku,price\n1,3\n"},
        ["items.csv has no column 'item_id'"],
    ),
    "items with other ids": (
        {"interactions.csv": GOOD_CSV, "items.jsonl": '{"item_id": "1", "price": 2}\n'},
        ["items.jsonl: item_id holds text where the interactions hold integers"],
    ),
    "items with other ids in csv": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,price\nsku-1,3\n"},
        ["'sku-1'"],
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_exits_3_with_one_line_that_says_where(case: str, tmp_path: Path, run: Callable[..., Result]) -> None:
    files, said = BAD_DATA[case]
    result = run("validate", fill(tmp_path, files))
    assert result.code == 3, result.err
    assert not result.out
    lines = [line for line in result.err.splitlines() if line]
    assert len(lines) == 2
    assert lines[0].startswith("error:")
    assert lines[1].startswith("hint:")
    for words in said:
        assert words in result.err


def test_a_folder_that_does_not_exist_and_a_file_in_its_place(tmp_path: Path, run: Callable[..., Result]) -> None:
    assert "does not exist" in run("validate", tmp_path / "nowhere").err
    file = tmp_path / "file"
    file.write_text("x")
    result = run("describe", file)
    assert result.code == 3
    assert "is a file, not a folder" in result.err


def test_float_id_columns_are_refused_with_a_hint_to_cast(tmp_path: Path, run: Callable[..., Result]) -> None:
    pl.DataFrame({"user_id": [1.0, 2.0], "item_id": [1, 2]}).write_parquet(tmp_path / "interactions.parquet")
    result = run("validate", tmp_path)
    assert result.code == 3
    assert "cast the ids" in result.err


USAGE = {
    "event": (["--target-event", "purchse"], ["unknown event 'purchse'", "did you mean 'purchase'?"]),
    "split": (["--split", "temporel"], ["unknown split 'temporel'", "did you mean 'temporal'?"]),
    "id type": (["--id-type", "number"], ["unknown id type 'number'"]),
    "times for a split by time": (["--split", "leave-last-out"], ["needs timestamps"]),
    "one column twice": (["--user-column", "item_id"], ["column 'item_id' is given two meanings"]),
}


@pytest.mark.parametrize("case", USAGE)
def test_bad_usage_exits_2(case: str, tmp_path: Path, run: Callable[..., Result]) -> None:
    flags, said = USAGE[case]
    rows = [f"{user},{item},{event}" for user in (1, 2) for item in range(5) for event in ("view", "purchase")]
    result = run("validate", fill(tmp_path, logs(*rows, header="user_id,item_id,event")), *flags)
    assert result.code == 2, result.err
    for words in said:
        assert words in result.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("usr_column = 'u'", ["dataset.toml: unknown setting 'usr_column'", "did you mean 'user_column'?"]),
        ("min_rating = 'four'", ["min_rating is 'four', not of type float"]),
        ("split_seed = true", ["split_seed is True, not of type int"]),
        ("min_rating = nan", ["min_rating is nan, not a finite number"]),
        ("split = ", ["cannot be read"]),
    ],
)
def test_a_bad_dataset_toml_exits_2_and_is_named(
    text: str, said: list[str], tmp_path: Path, run: Callable[..., Result]
) -> None:
    result = run("validate", fill(tmp_path, {"interactions.csv": GOOD_CSV, "dataset.toml": text}))
    assert result.code == 2
    for words in said:
        assert words in result.err


WARNED: dict[str, tuple[dict[str, str | bytes], str, int]] = {
    "duplicates": ({"interactions.csv": GOOD_CSV + "1,1\n1,1\n2,3\n"}, "duplicates", 3),
    "users in test only": (
        logs(*(f"{r},train" for r in FEW), "8,10,test", "9,11,test", "1,13,test", header="user_id,item_id,split"),
        "test_only_users",
        2,
    ),
    "items in test only": (
        logs(*(f"{r},train" for r in FEW), "1,98,test", "2,99,test", header="user_id,item_id,split"),
        "test_only_items",
        2,
    ),
    "repeated across parts": (
        logs(*(f"{r},train" for r in FEW), "1,10,test", "1,13,test", header="user_id,item_id,split"),
        "repeats_across_parts",
        1,
    ),
    "unknown columns": (
        logs(*(f"{r},a,b" for r in FEW), header="user_id,item_id,review,summary"),
        "unknown_columns",
        2,
    ),
    "items without interactions": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,price\n" + "".join(f"{i},{i}\n" for i in range(1, 9))},
        "items_without_interactions",
        3,
    ),
    "items without features": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,price\n1,2\n2,3\n"},
        "items_without_features",
        3,
    ),
    "text columns": (
        {"interactions.csv": GOOD_CSV, "items.csv": "item_id,asin\n1,B1\n2,B2\n3,B3\n4,B4\n5,B5\n"},
        "text_columns_ignored",
        1,
    ),
}


@pytest.mark.parametrize("case", WARNED)
def test_warnings_are_counted_and_said_and_the_work_goes_on(
    case: str, tmp_path: Path, run: Callable[..., Result]
) -> None:
    files, code, count = WARNED[case]
    result = run("validate", fill(tmp_path, files), "--output", "json")
    assert result.code == 0, result.err
    found = {warning["code"]: warning for warning in json.loads(result.out)["warnings"]}
    assert found[code]["count"] == count
    assert f"warning: {found[code]['message']}" in result.err


def test_id_widths_that_differ_between_files_are_a_warning(tmp_path: Path, run: Callable[..., Result]) -> None:
    pairs = [(user, item) for user in range(4) for item in range(5)]
    pl.DataFrame(pairs, schema={"user_id": pl.Int32, "item_id": pl.Int32}, orient="row").write_parquet(
        tmp_path / "interactions.parquet"
    )
    pl.DataFrame({"item_id": range(5), "price": range(5)}).write_parquet(tmp_path / "items.parquet")
    result = run("validate", tmp_path, "--output", "json")
    assert result.code == 0
    (warning,) = json.loads(result.out)["warnings"]
    assert warning["code"] == "id_widths"
    assert "Int32" in warning["message"]
    assert "Int64" in warning["message"]


def test_flags_name_other_columns_and_win_over_the_file(tmp_path: Path, run: Callable[..., Result]) -> None:
    rows = [f"{user},{item},{item}" for user in (1, 2) for item in range(5)]
    files = logs(*rows, header="member,sku,stars") | {"dataset.toml": "user_column = 'nobody'\nitem_column = 'sku'\n"}
    folder = fill(tmp_path, files)
    assert run("validate", folder).code == 3
    flags = ("--user-column", "member", "--rating-column", "stars", "--min-rating", "1")
    result = run("describe", folder, *flags, "--output", "json")
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts["ratings"] == {"min": 0.0, "mean": 2.0, "max": 4.0, "missing": 0}
    assert sum(facts["split"][part] for part in ("train", "valid", "test")) == 8


def test_an_optional_column_that_was_asked_for_must_be_there(tmp_path: Path, run: Callable[..., Result]) -> None:
    folder = fill(tmp_path, {"interactions.csv": GOOD_CSV})
    result = run("validate", folder, "--timestamp-column", "when")
    assert result.code == 3
    assert "no column 'when'" in result.err
    assert "no column 'rating'" in run("validate", folder, "--min-rating", "3").err


def test_sample_then_validate_then_describe(tmp_path: Path, run: Callable[..., Result]) -> None:
    out = tmp_path / "shop"
    made = run("sample", out, "--users", 150, "--items", 80, "--output", "json")
    assert made.code == 0, made.err
    assert sum(json.loads(made.out)["events"].values()) == json.loads(made.out)["interactions"]
    valid = run("validate", out)
    assert valid.code == 0
    assert "warning" not in valid.err + valid.out
    text = run("describe", out)
    assert text.code == 0
    for words in ("target event", "purchase", "Degree skew", "Split: temporal", "2025-0", "No problems found"):
        assert words in text.out
    facts = json.loads(run("describe", out, "--output", "json").out)
    assert facts["events"] == json.loads(made.out)["events"]
    assert facts["problems"] == []


def test_sample_refuses_an_existing_folder_and_sizes_out_of_bounds(tmp_path: Path, run: Callable[..., Result]) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "mine.txt").write_text("mine")
    assert run("sample", keep).code == 2
    assert [path.name for path in keep.iterdir()] == ["mine.txt"]
    assert run("sample", tmp_path / "small", "--users", 3).code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep"]
