"""What is added to data of text: the lines that were there stay as they are, to the byte, and all is read together."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_data import LATER, NOON, added, folder

from gnas_search.data.addition import add_interactions
from gnas_search.data.readers import read_config

ODD_CSV = (
    b"\xef\xbb\xbfuser_id,item_id,event,timestamp,rating,note\r\n"
    b'"1",a,"view",2023-11-15 12:00:00,5.0,"two\r\nlines, ""so"""\r\n'
    b"1,b,purchase,2023-11-15 12:00:01.50,05,\r\n2,a,view,2023-11-15 12:00,4.,x\r\n3,b,view,2023-11-15,,"
)


def rewritten(tmp_path: Path, name: str, content: bytes, more: dict[str, list[object]] = LATER) -> bytes:
    data = tmp_path / "ours"
    data.mkdir()
    (data / f"interactions.{name}").write_bytes(content)
    kinds = {"view": "view", "purchase": "purchase"}
    before = added(data, folder(tmp_path / "more", more), events=kinds)
    assert before[0].added == len(more["user_id"])
    assert before[0].interactions == len(before[1].user_rows)
    return (tmp_path / "newer" / f"interactions.{name}").read_bytes()


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n,,,,,\r\n\n"])
def test_lines_stay_as_they_are_to_the_byte(tmp_path: Path, end: bytes) -> None:
    after = rewritten(tmp_path, "csv", ODD_CSV + end)
    assert after.startswith(ODD_CSV + b"\r\n1,a,purchase,2023-11-15 12:00:01.000000,,\r\n")
    assert after.count(b"\r\n") == ODD_CSV.count(b"\r\n") + 1 + 4
    assert b"\n\r\n" not in after


def test_lines_of_tabs_and_of_json_too(tmp_path: Path) -> None:
    lines = b"user_id\titem_id\tevent\ttimestamp\n"
    lines += b"1\ta\tview\t2023-11-15T13:00:00+01:00\n2\tb\tview\t2023-11-15T12:00Z\n\n"
    (tmp_path / "tsv").mkdir()
    after = rewritten(tmp_path / "tsv", "tsv", lines)
    assert after.startswith(lines.rstrip(b"\n") + b"\n1\ta\tpurchase\t2023-11-15T12:00:01.000000Z\n")
    lines = b'{"item_id": "\\u0061", "user_id":1,"event":"view", "timestamp":"2023-11-15","rating": 5}\r\n\r\n'
    lines += b'{"user_id":2, "item_id":"b","event":"purchase","timestamp":"2023-11-14"}\r\n \r\n'
    (tmp_path / "jsonl").mkdir()
    after = rewritten(tmp_path / "jsonl", "jsonl", lines, LATER | {"rating": [4.5, None, None, 2.0]})
    kept = lines.removesuffix(b" \r\n")
    assert after.startswith(kept)
    assert after[len(kept) :].count(b"\r\n") == 4


def test_what_adds_nothing_leaves_the_file_alone(tmp_path: Path) -> None:
    data = tmp_path / "ours"
    data.mkdir()
    (data / "interactions.csv").write_bytes(ODD_CSV + b"\r\n\r\n")
    again = {"user_id": [2], "item_id": ["a"], "event": ["view"], "timestamp": [NOON], "rating": [4.0]}
    more = folder(tmp_path / "more", again)
    done = add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
    assert (done.added, done.present) == (0, 1)
    assert (tmp_path / "newer" / "interactions.csv").read_bytes() == ODD_CSV + b"\r\n\r\n"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("ours", "first"),
    [
        ("2023-11-15", "2023-11-15T12:00:01"),
        ("2023-11-15 12:00:00", "2023-11-15 12:00:01"),
        ("2023-11-15T12:00:00.5", "2023-11-15T12:00:01.000000"),
        ("2023-11-15T12:00:00z", "2023-11-15T12:00:01Z"),
        ("2023-11-15T13:00:00.25+01:00", "2023-11-15T12:00:01.000000Z"),
        ("2023-11-15 13:00+0100", "2023-11-15 12:00:01Z"),
    ],
)
def test_a_time_that_is_added_is_read_with_those_that_are_there(
    tmp_path: Path, form: str, ours: str, first: str
) -> None:
    columns = {"user_id": [1, 2], "item_id": ["a", "b"], "event": ["view", "view"], "timestamp": [ours] * 2}
    data = folder(tmp_path / "ours", columns, form)
    later = LATER | {"event": ["view"] * 4, "timestamp": [NOON + 1, NOON + 2, NOON + 3, NOON + 4]}
    done, read = added(data, folder(tmp_path / "more", later))
    assert done.added == 4
    assert read.timestamps is not None
    assert read.timestamps[2:].tolist() == later["timestamp"]
    assert first in (tmp_path / "newer" / f"interactions.{form}").read_text()
    again = add_interactions(done.path, read_config(done.path, {}), tmp_path / "more", tmp_path / "newest")
    assert (again.added, again.present) == (0, 4)
