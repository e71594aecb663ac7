"""Items that the catalogue does not have: answered where the definition puts them, by brute force over all options."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_filters import random_tree, text_of, truth
from tiny_artifact import CLOSED_FORM, write_blended_artifact
from unseen_shop import CANDIDATES, ITEMS, KINDS, USERS, Shop, history_of, told

from gnas_serve.errors import FeatureError, RequestError
from gnas_serve.runtime.query import MAX_UNSEEN_ITEMS, Answer, Query
from gnas_serve.runtime.recommender import Recommender


@pytest.fixture(scope="module", params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("unseen") / "artifact", request.param)


def test_they_stand_where_their_retrieval_score_does(shop: Shop) -> None:
    rng, recommender = random.Random(11), shop.recommender
    placed = inside = 0
    for _ in range(120):
        items = shop.draw(rng, rng.randrange(1, 6))
        tree = random_tree(rng, 1)
        fields: dict[str, Any] = {
            "user_id": recommender.users.id(rng.randrange(USERS)) if rng.random() < 0.6 else None,
            "history": tuple(recommender.items.ids(rng.sample(range(ITEMS), 4))) if rng.random() < 0.5 else (),
            "k": rng.choice([1, 5, 20, 45, 90]),
            "exclude_seen": rng.random() < 0.5,
            "filter": text_of(rng, tree) if rng.random() < 0.4 else None,
        }
        if rng.random() < 0.3:
            known = recommender.items.ids(rng.sample(range(ITEMS), 12))
            fields["candidates"] = tuple(rng.sample([*known, *items], 10))
        if rng.random() < 0.3:
            fields["exclude_items"] = (*recommender.items.ids([3, 5]), rng.choice(list(items)))
        answer = recommender.recommend(Query(**fields, item_features=told(items)))
        may = [
            one
            for one in items
            if one in fields.get("candidates", items) and one not in fields.get("exclude_items", ())
        ]
        if fields["filter"] is not None:
            may = [one for one in may if truth(tree, {name: items[one].get(name) for name in shop.items[0]})]
        rest = {
            name: tuple(one for one in value if one not in items) if name in {"candidates", "exclude_items"} else value
            for name, value in fields.items()
        }
        expected = brute_force(shop, Query(**rest), {one: items[one] for one in may})
        assert answer.item_ids == expected[: fields["k"]], fields
        assert answer.underfilled == (len(expected) < fields["k"])
        assert answer.scores == sorted(answer.scores, reverse=True)
        assert answer.sources is not None
        for item_id, source in zip(answer.item_ids, answer.sources, strict=True):
            leans = item_id in items and shop.lean(items[item_id]) is not None
            assert source == (answer.source if item_id not in items else "content" if leans else "unknown")
        found = [place for place, item_id in enumerate(answer.item_ids) if item_id in items]
        placed += len(found)
        inside += sum(place < len(answer.item_ids) - len(found) for place in found)
    # The draw really had them in the middle of lists.
    assert placed > 80
    assert inside > 20


def brute_force(shop: Shop, query: Query, items: dict[str, dict[str, Any]]) -> list[Any]:
    """Order known and unseen items by the definition: after as many known ones as are liked as much or more."""
    recommender = shop.recommender
    # All that is retrieved and ranked, as it is without unseen items.
    alone = recommender.recommend(Query(**{**vars(query), "k": max(query.k, CANDIDATES)}))
    source = alone.source
    if source in {"popularity", "segment"}:
        scores, history = np.log1p(shop.counts.astype(np.float32)).astype(np.float64), set()
    else:
        scores, history = shop.scores(query), history_of(shop, query)
    retrieved = [scores[row] for row in recommender.items.rows(alone.item_ids)]
    keys: list[tuple[float, float, int]] = [(place, 0.0, place) for place in range(len(alone.item_ids))]
    ids: list[Any] = list(alone.item_ids)
    for place, (item_id, values) in enumerate(items.items()):
        lean = shop.lean(values)
        value = -np.inf if lean is None else shop.plain.score(lean, scores, history)
        above = sum(one >= value - 1e-6 * max(1.0, abs(value)) for one in retrieved)
        keys.append((above - 0.5, -value, place))
        ids.append(item_id)
    return [ids[place] for place in sorted(range(len(ids)), key=lambda place: keys[place])]


def test_rank_puts_all_candidates_in_order(shop: Shop) -> None:
    rng, recommender = random.Random(12), shop.recommender
    for row in range(12):
        items = shop.draw(rng, 4)
        candidates = (*recommender.items.ids(rng.sample(range(ITEMS), 6)), *list(items)[:3], "never heard of")
        query = Query(recommender.users.id(row), candidates=candidates, item_features=told(items))
        answer = recommender.rank(query)
        assert sorted(map(str, answer.item_ids)) == sorted(map(str, candidates[:9]))
        assert answer.unknown_items == 1
        with pytest.raises(RequestError, match="never heard of"):
            recommender.rank(Query(candidates=candidates, item_features=told(items), strict=True))
        known = [one for one in answer.item_ids if one not in items]
        plain = recommender.rank(Query(recommender.users.id(row), candidates=candidates[:6]))
        assert known == plain.item_ids


def test_variety_and_chance_take_them_in(shop: Shop) -> None:
    rng = random.Random(13)
    items, user = shop.draw(rng, 8), shop.recommender.users.id(4)
    for more in (
        {"diversity": 0.7},
        {"exploration": 0.8, "seed": 1},
        {"diversity": 1.0, "exploration": 1.0, "seed": 2},
    ):
        answer = shop.recommender.recommend(Query(user, k=48, item_features=told(items), **more))
        assert len(set(answer.item_ids)) == 48
        assert answer.sources is not None
        assert {one in items for one in answer.item_ids} == {True, False}
        for item_id, source in zip(answer.item_ids, answer.sources, strict=True):
            assert (source in {"content", "unknown"}) == (item_id in items)


def test_what_is_like_an_unseen_item(shop: Shop, request: pytest.FixtureRequest) -> None:
    items = {"new": {name: value for name, value in shop.items[9].items() if value is not None}}
    lean = shop.lean(items["new"])
    assert lean is not None
    answer = shop.recommender.similar_items("new", 10, told(items))
    assert answer.source == "content"
    vectors = shop.recommender.item_vectors.dense()
    personal = [
        vectors[:, span]
        for span, branch in zip(
            shop.recommender.item_vectors.columns,
            [one for one in shop.recommender.manifest.branches if one.width],
            strict=True,
        )
        if branch.kind != "popularity"
    ]
    if personal:
        known = np.concatenate(personal, axis=1).astype(np.float64)
        mixed = np.array(lean[1]) @ known[lean[0]]
        cosines = known @ mixed / np.linalg.norm(known, axis=1) / np.linalg.norm(mixed)
        np.testing.assert_allclose(answer.scores, np.sort(cosines)[::-1][:10], rtol=1e-3)
        assert answer.item_ids == shop.recommender.items.ids(np.argsort(-cosines, kind="stable")[:10])
    else:
        assert answer.scores == sorted(answer.scores, reverse=True)
        assert min(answer.scores) > 0


def test_what_cannot_be_told_is_refused_by_name(shop: Shop) -> None:
    recommender = shop.recommender
    known = str(recommender.items.id(5))
    for items in ({"new": {"pri\nce": 3}}, {known: {"pri\nce": 3}}):
        for ask in (
            lambda items: recommender.recommend(Query(item_features=told(items))),
            lambda items: recommender.rank(Query(candidates=("new",), item_features=told(items))),
            lambda items: recommender.similar_items("new", 3, told(items)),
        ):
            with pytest.raises(FeatureError, match="pri") as error:
                ask(items)
            assert error.value.code == "unknown_attribute"
            assert "\n" not in str(error.value)
    for values, where in (
        ({"price": "cheap"}, r"price: expected a number .*, found 'cheap'"),
        ({"price": ["3"]}, "price: expected a number .*, found a list"),
        ({"in_stock": "maybe"}, "in_stock: expected .* true or false, found 'maybe'"),
        ({"category": ["bag"]}, "category: expected a text, found a list"),
        ({"tags": 3.0}, "tags: expected a list of texts, found 3"),
        ({"tags": True, "price": 1}, "tags: expected a list of texts, found true"),
    ):
        for one in ("new", known):
            for ask in (
                lambda items: recommender.recommend(Query(item_features=told(items))),
                lambda items: recommender.rank(Query(candidates=("new",), item_features=told(items))),
                lambda items: recommender.similar_items("new", 3, told(items)),
            ):
                with pytest.raises(FeatureError, match=rf"item_features\.{one}\.{where}") as error:
                    ask({one: values})
                assert error.value.code == "wrong_type"
    for ask_strictly in (recommender.recommend, recommender.rank):
        with pytest.raises(FeatureError, match=known) as error:
            ask_strictly(Query(candidates=("new",), item_features=told({"new": {}, known: {}}), strict=True))
        assert error.value.code == "known_item"
    with pytest.raises(FeatureError, match="is not the item") as error:
        recommender.similar_items("new", 3, told({"other": {"price": 3}}))
    assert error.value.code == "other_item"
    with pytest.raises(FeatureError, match="price") as error:
        recommender.similar_items("new", 3, told({"new": {}}))
    assert error.value.code == "nothing_known"
    with pytest.raises(RequestError, match="101 items"):
        recommender.recommend(Query(item_features=told({f"new-{one}": {} for one in range(MAX_UNSEEN_ITEMS + 1)})))


def test_an_artifact_without_an_encoder_says_how_to_get_one(tmp_path: Path) -> None:
    recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", branches=CLOSED_FORM))
    assert recommender.info.item_features == ()
    with pytest.raises(FeatureError, match="items file") as error:
        recommender.recommend(Query(item_features=told({"new": {}})))
    assert error.value.code == "no_content_encoder"


def test_ids_are_in_the_type_of_the_catalogue(shop: Shop) -> None:
    answer: Answer = shop.recommender.recommend(
        Query(candidates=(9001, "9002"), item_features=told({"9001": {}, "9002": {}}))
    )
    text = shop.recommender.items.is_text
    # A text id that is a number is another than the number where ids are texts.
    assert answer.item_ids == (["9002"] if text else [9001, 9002])


def test_without_them_nothing_changes(shop: Shop) -> None:
    answer = shop.recommender.recommend(Query(shop.recommender.users.id(1), k=7))
    nothing = shop.recommender.recommend(
        Query(shop.recommender.users.id(1), k=7, exclude_items=("new",), item_features=told({"new": {"price": 1.0}}))
    )
    assert nothing.item_ids == answer.item_ids
    assert nothing.scores == pytest.approx(answer.scores)
    assert answer.sources is None
    assert nothing.unknown_items == answer.unknown_items == 0
