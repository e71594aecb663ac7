"""Unseen items in the lists of a question and of an answer: histories, candidates, known items, the merged list."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from content_tables import encoder_of
from feedback_events import event
from tiny_artifact import BLEND, write_blended_artifact, write_tiny_artifact

from gnas_serve.errors import FeatureError, ItemNotFoundError
from gnas_serve.feedback.recent import Recent
from gnas_serve.runtime.insertion import inserted
from gnas_serve.runtime.joined import Joined
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.two_stages import Ranked
from gnas_serve.runtime.unseen_items import UnseenItems

ITEMS = 80
LINKS, PRIOR = BLEND[1], BLEND[3]
NEW = (("new-0", (("price", 3.0), ("tags", ("a", "bag")))), ("new-1", (("category", "bag"),)), ("new-2", ()))
KINDS: dict[str, Any] = {
    "tiny": write_tiny_artifact,
    "ranked": partial(write_tiny_artifact, cross=("score_z", "log_rank"), weights=(0.2, 0.7)),
    "texts": partial(write_tiny_artifact, text_ids=True),
    "links": partial(write_blended_artifact, branches=(LINKS, PRIOR)),
}


def made(folder: Path, kind: str) -> Recommender:
    table = attributes_of(random_table(random.Random(7), ITEMS))
    return Recommender.load(KINDS[kind](folder / kind, attributes=table, content=encoder_of))


@pytest.fixture(scope="module", params=KINDS)
def recommender(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    return made(tmp_path_factory.mktemp("lists"), request.param)


def test_what_the_catalogue_has_meanwhile_is_the_known_item(recommender: Recommender) -> None:
    rng = random.Random(14)
    user = recommender.users.id(6)
    known = tuple(recommender.items.ids(rng.sample(range(ITEMS), 6)))
    of_known = tuple((str(one), (("price", 1.0),)) for one in known[:3])
    lists: tuple[dict[str, Any], ...] = (
        {},
        {"candidates": (*known, "new-0", "new-1")},
        {"history": known[:2], "exclude_items": known[2:3]},
    )
    for fields in lists:
        for unseen in ((), NEW):
            plain, both = (
                Query(user, k=20, exclude_seen=False, item_features=given, **fields)
                for given in (unseen, of_known + unseen)
            )
            assert recommender.recommend(both) == recommender.recommend(plain)
            if "candidates" in fields:
                assert recommender.rank(both) == recommender.rank(plain)
    assert recommender.similar_items(known[0], 5, of_known[:1]) == recommender.similar_items(known[0], 5)
    with pytest.raises(ItemNotFoundError):
        recommender.similar_items("new", 5, of_known)
    with pytest.raises(FeatureError, match="new-0"):
        recommender.similar_items(known[0], 5, NEW)


def test_what_a_history_or_an_exclusion_names_is_not_answered(recommender: Recommender) -> None:
    known = tuple(recommender.items.ids([1, 4]))
    history = (known[0], "new-0", known[1])
    query = Query(history=history, exclude_items=("new-1",), k=90, item_features=NEW, strict=True)
    answer = recommender.recommend(query)
    assert set(answer.item_ids) & {"new-0", "new-1", "new-2"} == {"new-2"}
    assert answer.unknown_items == 0
    # It moves nothing, and is not missed.
    plain = recommender.recommend(Query(history=known, k=90))
    assert [one for one in answer.item_ids if one != "new-2"] == plain.item_ids
    # To be ranked are all that are named, as known items are.
    named = ("new-0", "new-1", *known)
    ranked = recommender.rank(Query(history=history, exclude_items=("new-1",), candidates=named, item_features=NEW))
    assert sorted(map(str, ranked.item_ids)) == sorted(map(str, named))
    assert ranked.unknown_items == 0


def test_what_a_user_has_by_feedback_is_not_answered_again(recommender: Recommender) -> None:
    user, other = recommender.users.ids([2, 3])
    recent = Recent(recommender.items)
    recent.add([event(1, user_id=user, item_id="new-0"), event(2, user_id="nobody", item_id="new-1")])
    told_of = {"k": 90, "item_features": NEW}
    recommender.follow(recent)
    try:
        answers = {who: set(recommender.recommend(Query(who, **told_of)).item_ids) for who in (user, other, "nobody")}
        asked = Query(user, candidates=("new-0", "new-2"), **told_of)
        kept = recommender.recommend(replace(asked, exclude_seen=False)).item_ids
        assert recommender.recommend(asked).item_ids == ["new-2"]
        assert sorted(recommender.rank(asked).item_ids) == sorted(kept) == ["new-0", "new-2"]
    finally:
        recommender._recent = None
    new = {name for name, _ in NEW}
    assert [new - answers[who] for who in (user, other, "nobody")] == [{"new-0"}, set(), {"new-1"}]


def test_rows_are_of_the_catalogue_alone(recommender: Recommender) -> None:
    new = {name for name, _ in NEW}
    for ask in (recommender.recommend, recommender.rank):
        named = (*recommender.items.ids([3, 8, 21]), *new)
        answer = ask(Query(recommender.users.id(2), candidates=named, exclude_seen=False, item_features=NEW))
        assert new < set(answer.item_ids)
        assert answer.rows is not None
        assert recommender.items.ids(answer.rows) == [one for one in answer.item_ids if one not in new]


def test_an_unseen_item_is_told_apart_by_what_it_is_most_like(recommender: Recommender) -> None:
    parts = recommender._parts
    unseen = UnseenItems.of(NEW, parts, strict=False)
    none = np.empty(0, np.float32)
    joined = Joined.of(
        unseen,
        Ranked(np.empty(0, np.int64), none, none),
        lambda rows: np.ones(len(rows), np.float32),
        np.empty(0, np.int64),
    )
    likest = [0 if lean is None else int(lean.rows[0]) for lean in unseen.leans]
    assert likest[0] > 0
    assert likest[1] > 0
    joined = replace(joined, rows=np.array([ITEMS + 1, 5, ITEMS, ITEMS + 2]))
    assert joined.stand_ins.tolist() == [likest[1], 5, likest[0], 0]


def test_they_are_carried_over_to_the_scale_of_the_ranker() -> None:
    rows, scores = inserted(
        np.array([7, 3, 5]),
        np.array([9.0, 5.0, 1.0], np.float32),
        np.array([3.0, 2.0, 1.0], np.float32),
        np.array([2.0, 1.5, -np.inf, 4.0, 0.5]),
        10,
    )
    # What is liked as much as a known one stands after it; half way between two is half way between their scores.
    assert rows.tolist() == [13, 7, 3, 10, 11, 5, 14, 12]
    assert scores.tolist() == [10.0, 9.0, 5.0, 5.0, 3.0, 1.0, 0.5, 0.5]


def test_of_links_alone_what_is_linked_to_the_likest_is_like(tmp_path: Path) -> None:
    similar = made(tmp_path, "links")._parts.similar_items
    mixed, weights = np.array([2, 11, 30]), np.array([0.7, 0.2, 0.1])
    totals = np.zeros(ITEMS)
    for row, weight in zip(mixed.tolist(), weights.tolist(), strict=True):
        rows, scores = similar.find(row, ITEMS)
        totals[rows] += weight * scores
    rows, scores = similar.find_like(mixed, weights, ITEMS)
    np.testing.assert_allclose(scores, np.sort(totals[totals > 0])[::-1], rtol=1e-5)
    assert set(rows.tolist()) == set(np.flatnonzero(totals).tolist())
    assert 0 < len(rows) < ITEMS
    np.testing.assert_allclose(scores, totals[rows], rtol=1e-5)
