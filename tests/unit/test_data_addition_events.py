"""Kinds of events that are added to data: chosen, renamed, and refused where the data has none of that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_data import LATER, NOON, OURS, added, folder

from gnas_search.data.addition import add_interactions
from gnas_search.data.readers import read_config
from gnas_serve.errors import DataError


def test_events_are_chosen_and_renamed(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS | {"event": [1, 2, 1, 1]})
    more = folder(tmp_path / "more", LATER)
    done, read = added(data, more, events={"purchase": "2"})
    assert (done.added, read.events, done.dropped) == (2, ("1", "2"), {"view": 2})
    assert done.notes == ("left out, as --event names other kinds: 2 view; they stay in interactions.parquet alone",)
    done = add_interactions(
        data, read_config(data, {}), more, tmp_path / "all", events={"view": "view", "purchase": "2"}
    )
    assert done.dropped == {}
    assert done.notes == ("events that interactions.parquet did not have: view (2); it has 1, 2",)


def test_kinds_that_the_data_does_not_have_are_named_before_anything_is_made(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS)
    more = folder(tmp_path / "more", LATER | {"event": ["gift it", "view", "purchse", "view"]})
    with pytest.raises(DataError) as refused:
        added(data, more)
    assert not (tmp_path / "newer").exists()
    assert refused.value.message == (
        f"{more / 'interactions.parquet'}: events that interactions.parquet does not have: gift it (1), purchse (1); "
        "it has purchase, view"
    )
    assert refused.value.hint == (
        "name each kind that is to be added, the others are left out: --event 'gift it' --event purchse=purchase "
        "--event view (adds gift it as a new kind; --event 'gift it=purchase' adds it as purchase)"
    )
    # What the hint says does what it says.
    pasted = {"gift it": "gift it", "purchse": "purchase", "view": "view"}
    done, read = added(data, more, events=pasted)
    assert (done.added, read.events) == (4, ("gift it", "purchase", "view"))
    near = folder(tmp_path / "near", LATER | {"event": ["purchse", "view", "purchse", "view"]})
    with pytest.raises(DataError) as refused:
        add_interactions(data, read_config(data, {}), near, tmp_path / "newest")
    assert refused.value.hint.endswith("left out: --event purchse=purchase --event view")


def test_many_kinds_that_the_data_does_not_have_are_told_within_bounds(tmp_path: Path) -> None:
    data = folder(tmp_path / "ours", OURS)
    many = {"user_id": [1] * 50, "item_id": ["a"] * 50, "event": [f"odd-{number:02d}" for number in range(50)]}
    with pytest.raises(DataError) as refused:
        added(data, folder(tmp_path / "more", many | {"timestamp": [NOON] * 50}))
    assert "odd-19 (1) and 30 more; it has" in refused.value.message
    assert "--event odd-19 and 30 more (" in refused.value.hint
