"""Segments of a tiny artifact's users, and users of a planted checkpoint who say something of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from attribute_tables import attributes_of

from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.segment_facts import BINS, NUMBER, TEXT, SegmentFacts, UserFeature
from gnas_serve.runtime.segments import SegmentTable

FACTS = SegmentFacts(
    (
        UserFeature("region", TEXT, ("north", "south", "straße")),
        UserFeature("age", BINS, (20.0, 35.5, 60.0)),
        UserFeature("nickname", TEXT),
        UserFeature("member", NUMBER, (0.0, 1.0)),
    ),
    prior=50.0,
    weight=0.5,
)


def random_segments(num_items: int, *, facts: SegmentFacts = FACTS, seed: int = 0) -> SegmentTable:
    """Draw what the users of each segment have; of the last segment nobody has anything."""
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.choice(num_items, rng.integers(1, num_items // 2), replace=False)) for _ in range(8)]
    lists = [*lists, np.empty(0, np.int64)]
    counts = [rng.integers(1, 30, len(rows)) for rows in lists]
    return SegmentTable(
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        items=np.concatenate(lists).astype(np.int32),
        counts=np.concatenate(counts).astype(np.int32),
        totals=np.array([own.sum() + rng.integers(0, 9) for own in counts], np.int64),
    )


def telling_users(checkpoint: Checkpoint, *, seed: int = 0) -> Checkpoint:
    """Give the users of a planted checkpoint attributes of which two tell what they like, and the others nothing."""
    rng = np.random.default_rng(seed)
    tastes = checkpoint.selection.user_vectors[:, :4]
    count = len(tastes)
    said = {
        "camp": ["".join("lr"[int(one > 0)] for one in row) for row in tastes[:, :3]],
        "mood": (tastes[:, 3].astype(np.float64) * 10).round(3).tolist(),
        "member": (rng.random(count) < 0.5).tolist(),
        "rare": [f"user {row}" if row % 2 else None for row in range(count)],
    }
    for values in (said["camp"], said["member"]):
        for row in rng.choice(count, count // 20, replace=False):
            values[row] = None
    return replace(checkpoint, user_attributes=attributes_of(said))
