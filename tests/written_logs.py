"""Interactions written down by hand, as if read from a file."""

from __future__ import annotations

import numpy as np

from gnas_search.data.interactions import DatasetConfig, Interactions
from gnas_serve.vocabulary import Vocabulary

PART_NUMBERS = {"train": 0, "valid": 1, "test": 2}


def make(
    rows: list[tuple[int, int]],
    *,
    events: list[str] | None = None,
    times: list[float] | None = None,
    ratings: list[float] | None = None,
    parts: list[str] | None = None,
    target: str | None = "interaction",
    **config: object,
) -> Interactions:
    names = tuple(sorted(set(events or ["interaction"])))
    users = Vocabulary.from_ids([user for user, _ in rows])
    items = Vocabulary.from_ids([item for _, item in rows])
    return Interactions(
        users=users,
        items=items,
        user_rows=users.rows([user for user, _ in rows]).astype(np.int32),
        item_rows=items.rows([item for _, item in rows]).astype(np.int32),
        event_codes=np.array([names.index(e) for e in events] if events else [0] * len(rows), dtype=np.int16),
        events=names,
        target_event=target,
        timestamps=None if times is None else np.array(times, dtype=np.float64),
        ratings=None if ratings is None else np.array(ratings, dtype=np.float32),
        parts=None if parts is None else np.array([PART_NUMBERS[part] for part in parts], dtype=np.int8),
        item_features=None,
        user_features=None,
        item_titles=None,
        fingerprint="f" * 64,
        config=DatasetConfig(**config),  # type: ignore[arg-type]
    )
