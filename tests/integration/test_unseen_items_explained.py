"""What the score of an unseen item comes from: known items that it is like, and through them what one has."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from unseen_shop import ITEMS, KINDS, Shop, history_of, told

from gnas_serve.errors import FeatureError, ItemNotFoundError
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Query


@pytest.fixture(scope="module", params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("unseen") / "artifact", request.param)


def test_an_explanation_adds_up_and_names_what_they_are_like(shop: Shop) -> None:
    items = {
        "twin": {name: value for name, value in shop.items[int(np.argmax(shop.counts))].items() if value is not None}
    }
    for fields in ({"user_id": shop.recommender.users.id(2)}, {}):
        query = Query(**fields, candidates=("twin", "blank"), explain=True, item_features=told(items | {"blank": {}}))
        answer = shop.recommender.recommend(query)
        assert answer.item_ids == ["twin", "blank"]
        assert answer.explanations is not None
        one, nothing = answer.explanations
        assert one.score == pytest.approx(sum(v for _, v in one.contributions) + sum(one.remainder.values()))
        assert (one.source, one.exact) == ("content", False)
        assert one.reason()[0].startswith("because it is like {0}")
        rows = shop.recommender.items.rows([item_id for item_id, _ in one.contributions])
        assert (rows >= 0).all()
        assert set(one.remainder) == {"average"}
        assert (nothing.source, nothing.score, nothing.contributions) == ("unknown", 0.0, ())
        assert nothing.reason() == ("though nothing is known of it yet", ())


@pytest.mark.parametrize("asker", ["user", "newcomer", "nobody"])
def test_it_is_traced_to_the_past_through_what_it_is_like(shop: Shop, asker: str) -> None:
    recommender, rng = shop.recommender, random.Random(15)
    past = tuple(recommender.items.ids(rng.sample(range(ITEMS), 12)))
    who: dict[str, Any] = {"user": {"user_id": recommender.users.id(2)}, "newcomer": {"history": past}, "nobody": {}}
    traced = 0
    for _ in range(12):
        items = shop.draw(rng, 1)
        item_id = next(iter(items))
        lean = shop.lean(items[item_id])
        found = recommender.explain(item_id, **who[asker], item_features=told(items))
        query = Query(**who[asker], candidates=(item_id,), k=1, exclude_seen=False, explain=True)
        (beside,) = recommender.recommend(replace(query, item_features=told(items))).explanations or ()
        assert (found.item_id, found.source, found.exact) == (item_id, beside.source, False)
        assert found.reason() == beside.reason()
        assert found.like == (beside.contributions if lean else ())
        assert found.score == pytest.approx(beside.score, rel=1e-4, abs=1e-6)
        assert found.score == pytest.approx(sum(v for _, v in found.contributions) + sum(found.remainder.values()))
        if lean is None:
            continue
        # Known item by known item, as each is explained, and what one has counts as liked more.
        expected: dict[Any, float] = {}
        rest: dict[str, float] = {}
        history = set() if asker == "nobody" else history_of(shop, query)
        for row, weight in zip(lean[0], lean[1], strict=True):
            one = recommender.explain(recommender.items.id(row), **who[asker])
            for name, value in one.contributions:
                expected[name] = expected.get(name, 0.0) + weight * value
            for name, value in one.remainder.items():
                rest[name] = rest.get(name, 0.0) + weight * value
            if row in history:
                name = recommender.items.id(row)
                expected[name] = expected.get(name, 0.0) + weight * shop.plain.facts.own * spread_of(shop, query)
        assert dict(found.contributions) == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert {name: v for name, v in found.remainder.items() if name != "average"} == pytest.approx(rest, abs=1e-5)
        traced += bool(found.contributions)
    assert (traced > 5) == (asker != "nobody")


def spread_of(shop: Shop, query: Query) -> float:
    """How far the asker's scores of known items lie apart."""
    return float(shop.scores(query)[shop.plain.known].std())


def test_an_item_that_is_asked_about_is_told_of_alone(shop: Shop) -> None:
    known = shop.recommender.items.id(5)
    plain = shop.recommender.explain(known, shop.recommender.users.id(2))
    # What the catalogue has meanwhile is explained as it is known, and what is not told of is unknown.
    assert shop.recommender.explain(known, shop.recommender.users.id(2), item_features=told({str(known): {}})) == plain
    assert plain.like == ()
    with pytest.raises(ItemNotFoundError, match="new"):
        shop.recommender.explain("new")
    with pytest.raises(FeatureError, match="is not the item") as error:
        shop.recommender.explain(known, item_features=told({"new": {}}))
    assert error.value.code == "other_item"


@pytest.mark.parametrize(
    ("like", "named"),
    [
        ((("a", 0.5), ("b", -0.1), ("c", 0.2)), ("a", "c")),
        ((("a", -0.1), ("b", -0.5)), ("a", "b")),  # it is here for no other reason
    ],
)
def test_the_sentence_names_what_raises_the_score(like: tuple[tuple[str, float], ...], named: tuple[str, ...]) -> None:
    told_of = Explanation("new", 0.6, "content", (), {"average": 0.0}, exact=False, like=like)
    assert told_of.reason() == ("because it is like {0} and {1}", named)
