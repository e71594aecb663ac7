"""Data folders and what is added to them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from gnas_search.data.addition import Addition, add_interactions
from gnas_search.data.interactions import Interactions
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.tables import write_table

NOON = 1_700_049_600.0  # 2023-11-15 12:00:00
LATER: dict[str, list[Any]] = {
    "user_id": [1, 2, 9, 1],
    "item_id": ["a", "c", "b", "b"],
    "event": ["purchase", "view", "purchase", "view"],
    "timestamp": [NOON + 1, NOON + 2, NOON + 3.5, NOON + 4],
}
OURS: dict[str, list[Any]] = {
    "user_id": [1, 1, 2, 3],
    "item_id": ["a", "b", "a", "b"],
    "event": ["view", "purchase", "view", "view"],
    "timestamp": [NOON - 3, NOON - 2, NOON - 1, NOON],
}


def folder(path: Path, columns: dict[str, Any], form: str = "parquet", settings: str = "") -> Path:
    path.mkdir()
    write_table(pl.DataFrame(columns), path / f"interactions.{form}")
    if settings:
        (path / "dataset.toml").write_text(settings)
    return path


def added(data: Path, more: Path, **options: Any) -> tuple[Addition, Interactions]:
    out = data.parent / "newer"
    done = add_interactions(data, read_config(data, {}), more, out, **options)
    return done, read_interactions(out, read_config(out, {}))
