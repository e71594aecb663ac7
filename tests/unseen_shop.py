"""A shop whose model has a content encoder, and items that it does not have, drawn by chance."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from attribute_tables import attributes_of, random_table
from content_tables import PlainEncoder, encoder_of
from tiny_artifact import BLEND, write_blended_artifact, write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

USERS, ITEMS, CANDIDATES = 60, 80, 40
LINKS, PRIOR = BLEND[1], BLEND[3]
# A ranker that orders otherwise than retrieval: the best third goes to the end.
CONTRARY = {"cross": ("score_z", "log_rank"), "weights": (0.2, 0.7)}
KINDS = {
    "vectors": write_tiny_artifact,
    "ranked": lambda folder, **more: write_tiny_artifact(folder, **CONTRARY, **more),
    "texts": lambda folder, **more: write_tiny_artifact(folder, text_ids=True, **more),
    "blend": lambda folder, **more: write_blended_artifact(folder, tables="int8", **more),
    "ranked blend": lambda folder, **more: write_blended_artifact(folder, **CONTRARY, **more),
    "links": lambda folder, **more: write_blended_artifact(folder, branches=(LINKS, PRIOR), **more),
}


class Shop:
    """An artifact with an encoder, and all that it takes to say what it is to answer."""

    def __init__(self, folder: Path, kind: str) -> None:
        table = random_table(random.Random(7), ITEMS)
        self.items = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
        KINDS[kind](folder, attributes=attributes_of(table), content=encoder_of)
        self.recommender = Recommender.load(folder)
        self.counts = np.load(folder / LAYOUT.item_counts)
        facts = self.recommender.manifest.content
        assert facts is not None
        self.plain = PlainEncoder(facts, self.items, self.counts)

    def draw(self, rng: random.Random, count: int) -> dict[str, dict[str, Any]]:
        def one() -> dict[str, Any]:
            told = {name: value for name, value in rng.choice(self.items).items() if rng.random() < 0.7 and value != ""}
            return {n: [one for one in v if one] if isinstance(v, list) else v for n, v in told.items()}

        return {f"new-{place}": one() if rng.random() < 0.9 else {} for place in range(count)}

    def lean(self, item: dict[str, Any]) -> tuple[list[int], list[float], float] | None:
        """What the encoder leans on, which is held against the definition elsewhere; ties of cosines are its own."""
        encoder = self.recommender._parts.content
        assert encoder is not None
        found = encoder.lean(dict(told({"new": item})[0][1]))
        return None if found is None else (found.rows.tolist(), found.weights.tolist(), found.rest)

    def scores(self, query: Query) -> np.ndarray:
        """The retrieval scores of all items for the asker of a question."""
        everything = tuple(self.recommender.items.ids(range(ITEMS)))
        asked = Query(query.user_id, history=query.history, candidates=everything, k=ITEMS, explain=True)
        explained = self.recommender.rank(asked).explanations
        assert explained is not None
        rows = self.recommender.items.rows([one.item_id for one in explained])
        found = np.empty(ITEMS)
        found[rows] = [one.score for one in explained]
        return found


def told(items: dict[str, dict[str, Any]]) -> Any:
    return tuple(
        (item_id, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in values.items()))
        for item_id, values in items.items()
    )


def history_of(shop: Shop, query: Query) -> set[int]:
    recommender = shop.recommender
    row = -1 if query.user_id is None else recommender.users.row(query.user_id)
    own = set(recommender.seen.of(row).tolist())
    return own or set(recommender.items.rows(query.history).tolist()) - {-1}
