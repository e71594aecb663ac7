"""Filters and exclusions never let an item through that may not be answered, and always give k where there are k."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from front_world import World
from plain_filters import random_tree, text_of, truth
from tiny_artifact import write_blended_artifact, write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.runtime.query import MAX_CANDIDATES, Query
from gnas_serve.runtime.recommender import Recommender

USERS = 60


class Shop:
    """An artifact with attributes, and all that it takes to answer by brute force."""

    def __init__(self, folder: Path, num_items: int, lists: int = 0, *, scanned: bool = False) -> None:
        self.rng = random.Random(num_items)
        self.table = random_table(self.rng, num_items)
        write_tiny_artifact(
            folder, num_items=num_items, attributes=attributes_of(self.table), lists=lists, scanned=scanned
        )
        self.folder = folder
        self.recommender = Recommender.load(folder)
        self.items = [dict(zip(self.table, values, strict=True)) for values in zip(*self.table.values(), strict=True)]
        if scanned:
            users, items = self.recommender._parts.askers._users, self.recommender.item_vectors
            self.scores = np.stack([items.score(users.row(row), np.arange(num_items)) for row in range(USERS)])
        else:
            self.scores = np.load(folder / LAYOUT.user_vectors) @ np.load(folder / LAYOUT.item_vectors).T  # (U, I)
        self.popularity = np.log1p(np.load(folder / LAYOUT.item_counts))
        self.num_items = num_items

    def question(self, tree: Any) -> Query:
        rng = self.rng
        ids = range(2000, 2000 + self.num_items)
        user_id = None if rng.random() < 0.1 else 1000 + rng.randrange(USERS)
        return Query(
            user_id,
            k=rng.choice([1, 10, 40, 100]),
            exclude_items=tuple(rng.sample(ids, rng.randrange(min(60, self.num_items)))),
            exclude_seen=rng.random() < 0.7,
            candidates=tuple(rng.sample(ids, self.num_items // 2)) if rng.random() < 0.2 else None,
            filter=text_of(rng, tree),
        )

    def expected(self, query: Query, passing: set[int]) -> list[int]:
        """Answer by looking at every item."""
        known = query.user_id is not None
        user_row = int(query.user_id) - 1000 if known else -1
        allowed = passing - {int(one) - 2000 for one in query.exclude_items}
        if query.candidates is not None:
            allowed &= {int(one) - 2000 for one in query.candidates}
        if query.exclude_seen and known:
            allowed -= set(self.recommender.seen.of(user_row).tolist())
        scores = self.scores[user_row] if known else self.popularity
        return [2000 + row for row in sorted(allowed, key=lambda row: (-scores[row], row))[: query.k]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("small") / "artifact", 80)


@pytest.fixture(
    scope="module",
    params=[(0, False), (12, False), (0, True), (12, True)],
    ids=["flat", "ivf", "flat-int8", "ivf-flat"],
)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    lists, scanned = request.param
    folder = tmp_path_factory.mktemp("large") / "artifact"
    return Shop(folder, MAX_CANDIDATES + 6000, lists, scanned=scanned)


def _hold(shop: Shop, turns: int) -> tuple[int, int]:
    full = listed = 0
    for _ in range(turns):
        tree = random_tree(shop.rng, 3)
        passing = {row for row, item in enumerate(shop.items) if truth(tree, item) is True}
        query = shop.question(tree)
        answer, expected = shop.recommender.recommend(query), shop.expected(query, passing)
        assert set(answer.item_ids) <= {2000 + row for row in passing}, query
        assert len(answer.item_ids) == len(expected), query
        assert answer.underfilled == (len(expected) < query.k)
        scores = shop.popularity if query.user_id is None else shop.scores[int(query.user_id) - 1000]
        # Equal scores in another order of summation may change places: the scores have to be those of the best.
        found = np.sort([scores[int(item_id) - 2000] for item_id in answer.item_ids])
        best = np.sort([scores[item_id - 2000] for item_id in expected])
        assert found == pytest.approx(best, abs=1e-5), query
        full += bool(expected) and len(expected) == query.k
        listed += len(passing) <= MAX_CANDIDATES
    return full, listed


def test_500_filters_and_exclusions_against_brute_force(small: Shop) -> None:
    full, _ = _hold(small, 500)
    assert 150 < full < 480


def test_a_catalogue_where_an_index_has_to_be_asked_past_the_filter(large: Shop) -> None:
    full, listed = _hold(large, 16)
    assert full > 6
    assert 0 < listed < 16, "some are few enough to be scored one and all, some are not"


def test_both_doors_name_what_is_wrong_with_a_filter(small: Shop) -> None:
    world = World(small.folder, small.recommender)
    for expression, code in (
        ("price ==", "invalid_filter"),
        ("prise == 1", "unknown_attribute"),
        ("", "invalid_field"),
    ):
        reply = world.post("/v1/recommend", {"filter": expression})
        assert (reply.status_code, reply.json()["code"]) == (400, code)
    reply = world.post("/v1/recommend", {"filter": "x" * 2001})
    assert reply.status_code == 400
    assert world.ask("GET", "/v1/model").json()["attributes"] == list(small.table)


def test_a_model_without_attributes_says_so(tmp_path: Path) -> None:
    reply = World(write_blended_artifact(tmp_path / "artifact")).post("/v1/recommend", {"filter": "price == 1"})
    assert (reply.status_code, reply.json()["code"]) == (400, "no_attributes")
