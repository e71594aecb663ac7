"""Popularity among users like a newcomer: the formula, what is passed over and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from segment_tables import FACTS, random_segments
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.artifact.segment_facts import SegmentFacts, UserFeature
from gnas_serve.errors import FeatureError, RequestError
from gnas_serve.runtime.query import MAX_FEATURES, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.segments import Segments

ITEMS = 80
TABLE = random_segments(ITEMS)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segments") / "artifact"
    return Recommender.load(write_tiny_artifact(folder, num_items=ITEMS, segments=(FACTS, TABLE)))


def by_hand(counts, places):
    """Add up log(1 + interactions) and what each segment says, item by item."""
    shares = (1 + counts) / (1 + counts).sum()
    scores = np.log1p(counts).astype(np.float64)
    for place in places:
        own = np.zeros(len(counts))
        span = slice(TABLE.offsets[place], TABLE.offsets[place + 1])
        own[TABLE.items[span]] = TABLE.counts[span]
        mixed = (own + FACTS.prior * shares) / (TABLE.totals[place] + FACTS.prior)
        scores += FACTS.weight * np.log(mixed / shares)
    return scores


@pytest.mark.parametrize(
    ("said", "places"),
    [
        ({"region": "south"}, [1]),
        ({"region": "straße", "age": 35.5, "member": True}, [2, 5, 8]),
        ({"age": 19.9}, [3]),
        ({"age": "20"}, [4]),
        ({"age": 1e300, "region": None}, [6]),
        ({"member": "False", "nickname": "Bo"}, [7]),
        ({"member": "1.0", "region": "north"}, [8, 0]),
    ],
)
def test_the_order_is_that_of_the_formula(recommender, said, places):
    counts = np.bincount(recommender.seen.items, minlength=ITEMS)
    expected = by_hand(counts, places)
    answer = recommender.recommend(Query(k=ITEMS, user_features=tuple(said.items())))
    rows = recommender.items.rows(answer.item_ids)
    assert answer.source == "segment"
    np.testing.assert_allclose(answer.scores, expected[rows], rtol=1e-5)
    assert sorted(rows.tolist()) == list(range(ITEMS))
    assert (np.diff(answer.scores) <= 0).all()


@pytest.mark.parametrize(
    "said",
    [
        {"region": "east"},
        {"region": 3, "nickname": "Bo"},
        {"age": "", "member": 2},
        {"age": None},
        {"region": True},
    ],
)
def test_values_that_the_model_does_not_know_are_passed_over(recommender, said):
    answer = recommender.recommend(Query(k=20, user_features=tuple(said.items())))
    assert answer == replace(recommender.recommend(Query(k=20)), rows=answer.rows)
    assert answer.source == "popularity"


def test_a_name_that_the_model_does_not_know_is_an_error(recommender):
    for query in (Query(user_features=(("Age", 3),)), Query(user_id=1000, user_features=(("Age", 3),))):
        with pytest.raises(RequestError, match="'Age' is no feature") as refused:
            recommender.recommend(query)
        assert refused.value.code == "unknown_feature"
        assert "region, age, nickname, member" in refused.value.hint
    with pytest.raises(RequestError, match=f"{MAX_FEATURES + 1} given"):
        recommender.recommend(Query(user_features=(("age", 1),) * (MAX_FEATURES + 1)))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"age": "old"}, r"user_features\.age: expected a number .*, found 'old'"),
        ({"member": "1_0", "age": 3}, r"user_features\.member: expected .* true or false, found '1_0'"),
        ({"age": "nan"}, "found 'nan'"),
        ({"age": "9" * 400}, f"found '{'9' * 40}'"),
        ({"region": ("south", "north")}, r"user_features\.region: expected a text, found a list"),
        ({"member": "no\n"}, r"found 'no\\n'"),
    ],
)
def test_values_of_another_type_are_refused_whoever_asks(recommender, said, told):
    for query in (Query(), Query(user_id=1000), Query(history=(2001,))):
        with pytest.raises(FeatureError, match=told) as refused:
            recommender.recommend(replace(query, user_features=tuple(said.items())))
        assert refused.value.code == "wrong_type"


def test_a_model_without_features_says_so(tmp_path):
    recommender = Recommender.load(write_tiny_artifact(tmp_path / "artifact"))
    assert recommender.info.user_features == ()
    with pytest.raises(RequestError) as refused:
        recommender.recommend(Query(user_features=(("age", 3),)))
    assert "knows none" in refused.value.hint


def test_who_has_a_vector_or_a_history_is_answered_by_these(recommender):
    said = (("region", "south"),)
    for query in (Query(user_id=1003), Query(history=(2004, 2007))):
        with_features = recommender.recommend(replace(query, user_features=said))
        plain = recommender.recommend(query)
        assert (with_features.item_ids, with_features.source) == (plain.item_ids, plain.source)
        assert plain.source in {"user", "fold_in"}


def test_exclusions_and_candidates_hold(recommender):
    said = (("region", "south"), ("age", 40))
    whole = recommender.recommend(Query(k=ITEMS, user_features=said)).item_ids
    unwanted = tuple(whole[:5])
    assert recommender.recommend(Query(k=9, user_features=said, exclude_items=unwanted)).item_ids == whole[5:14]
    some = tuple(whole[30:50])
    assert recommender.recommend(Query(k=20, user_features=said, candidates=some[::-1])).item_ids == list(some)
    assert recommender.rank(Query(user_features=said, candidates=some[::-1])).item_ids == list(some)


def test_an_explanation_says_what_each_feature_adds(recommender):
    said = (("region", "south"), ("age", 40), ("nickname", "Bo"))
    answer = recommender.recommend(Query(k=30, user_features=said, explain=True))
    for item_id, score, explanation in zip(answer.item_ids, answer.scores, answer.explanations, strict=True):
        assert set(explanation.remainder) == {"popularity", "user_features.region", "user_features.age"}
        assert sum(explanation.remainder.values()) == pytest.approx(explanation.score, rel=1e-12)
        assert explanation.score == pytest.approx(score, rel=1e-5)
        assert explanation.exact
        alone = recommender.explain(item_id, user_features=(said[0],))
        assert alone.remainder["user_features.region"] == explanation.remainder["user_features.region"]
        assert alone.source == "segment"
        assert explanation.reason() == ("because many who are like you have it", ())
    row = recommender.items.row(answer.item_ids[0])
    counts = np.bincount(recommender.seen.items, minlength=ITEMS)
    one = by_hand(counts, [1])[row] - np.log1p(counts[row])
    assert answer.explanations[0].remainder["user_features.region"] == pytest.approx(one, rel=1e-5)


def test_a_number_is_the_text_that_it_is_written_as():
    facts = SegmentFacts((UserFeature("code", "text", ("2.5", "3", "true")),), 10.0, 1.0)
    table = random_segments(ITEMS)
    table = replace(table, offsets=table.offsets[:4], totals=table.totals[:3])
    segments = Segments(facts, table, np.ones(ITEMS, np.int32))
    for one, other in ((3, "3"), (3.0, "3"), (2.5, "2.5"), (True, "true")):
        found = [segments.of((("code", value),)).scores for value in (one, other)]
        np.testing.assert_array_equal(*found)
        assert (found[0] != segments.everybody.scores).any()


def test_facts_survive_the_manifest(recommender):
    assert SegmentFacts.from_json(FACTS.to_json()) == FACTS
    assert recommender.manifest.segments == FACTS
    assert recommender.info.user_features == ("region", "age", "member")
    assert Manifest.to_json(recommender.manifest)["segments"] == FACTS.to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"prior": 0},
        {"prior": "1"},
        {"weight": float("nan")},
        {"weight": 10**400},
        {"features": [{"name": "a", "kind": "words", "values": []}]},
        {"features": [{"name": 3, "kind": "text", "values": []}]},
        {"features": [{"name": "a", "kind": "text", "values": ["b", "a"]}]},
        {"features": [{"name": "a", "kind": "text", "values": [1]}]},
        {"features": [{"name": "a", "kind": "number", "values": [True]}]},
        {"features": [{"name": "a", "kind": "bins", "values": [1, float("inf")]}]},
        {"features": [{"name": "a", "kind": "text", "values": []}] * 2},
        {"features": None},
    ],
)
def test_facts_that_no_export_writes_are_refused(change):
    with pytest.raises((ValueError, TypeError)):
        SegmentFacts.from_json(FACTS.to_json() | change)
