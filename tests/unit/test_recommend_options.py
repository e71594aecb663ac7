"""What a question may ask for beyond k items: the runtime's own answers, before any door."""

import numpy as np
import pytest
from tiny_artifact import BLEND, write_blended_artifact, write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ItemNotFoundError, RequestError, UserNotFoundError
from gnas_serve.runtime.query import MAX_EXPLAINED, Query
from gnas_serve.runtime.recommender import Recommender

USER = 1007


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_blended_artifact(tmp_path_factory.mktemp("options") / "artifact")


@pytest.fixture(scope="module")
def recommender(folder):
    return Recommender.load(folder)


class TestUnderfilled:
    def test_all_that_may_be_answered_and_one_more(self, recommender):
        whole = recommender.recommend(Query(USER, 74))  # of 80 the user has 6
        assert (len(whole.item_ids), whole.underfilled) == (74, False)
        more = recommender.recommend(Query(USER, 75))
        assert (more.item_ids, more.underfilled) == (whole.item_ids, True)

    @pytest.mark.parametrize("user_id", [USER, None])
    def test_candidates(self, recommender, user_id):
        some = tuple(range(2060, 2065))
        assert not recommender.recommend(Query(user_id, 3, candidates=some, exclude_seen=False)).underfilled
        assert recommender.recommend(Query(user_id, 6, candidates=some, exclude_seen=False)).underfilled
        assert recommender.recommend(Query(user_id, 1, candidates=())).underfilled


class TestStrict:
    @pytest.mark.parametrize("field", ["history", "exclude_items", "candidates"])
    def test_an_unknown_item_is_named(self, recommender, field):
        lenient = Query(USER, **{field: (2001, "nothing")})
        assert recommender.recommend(lenient).item_ids
        with pytest.raises(ItemNotFoundError, match="'nothing'"):
            recommender.recommend(Query(USER, strict=True, **{field: (2001, "nothing")}))

    def test_an_unknown_user_is_an_error_and_nobody_is_none(self, recommender):
        assert recommender.recommend(Query("nobody")).source == "popularity"
        with pytest.raises(UserNotFoundError, match="'nobody'"):
            recommender.recommend(Query("nobody", strict=True))
        assert recommender.recommend(Query(strict=True)).source == "popularity"
        assert recommender.recommend(Query(USER, strict=True)) == recommender.recommend(Query(USER))


class TestRank:
    def test_all_candidates_are_ordered_as_recommend_orders_them(self, recommender):
        some = tuple(range(2000, 2080, 3))
        ranked = recommender.rank(Query(USER, k=1, candidates=some, exclude_seen=True))
        assert sorted(ranked.item_ids) == sorted(some)
        assert not ranked.underfilled
        expected = recommender.recommend(Query(USER, len(some), candidates=some, exclude_seen=False))
        assert (ranked.item_ids, ranked.scores) == (expected.item_ids, expected.scores)

    def test_what_the_asker_has_is_ordered_too(self, recommender):
        own = tuple(recommender.items.ids(recommender.seen.of(7)))
        assert set(recommender.rank(Query(USER, candidates=own)).item_ids) == set(own)
        newcomer = recommender.rank(Query(history=own, candidates=own))
        assert set(newcomer.item_ids) == set(own)
        assert newcomer.source == "fold_in"

    def test_unknown_ones_are_left_out_and_said_to_be_missing(self, recommender):
        ranked = recommender.rank(Query(None, candidates=(2001, "nothing", 2002)))
        assert set(ranked.item_ids) == {2001, 2002}
        assert (ranked.source, ranked.underfilled) == ("popularity", True)

    def test_more_than_the_ranker_was_trained_on(self, recommender):
        assert recommender.candidates == 40
        everything = tuple(range(2000, 2080))
        assert len(recommender.rank(Query(USER, candidates=everything)).item_ids) == 80


class TestExplained:
    @pytest.mark.parametrize("query", [Query(USER, 5, explain=True), Query(None, 5, explain=True)])
    def test_each_item_is_explained_as_the_call_of_its_own_does_it(self, recommender, query):
        answer = recommender.recommend(query)
        expected = [recommender.explain(item_id, query.user_id) for item_id in answer.item_ids]
        assert list(answer.explanations) == expected
        first = answer.items()[0]
        assert first["explanation"]["score"] == pytest.approx(answer.scores[0], rel=1e-5)
        assert len(first["explanation"]["contributions"]) <= 5
        for found, item in zip(expected, answer.items(), strict=True):
            shown, others = item["explanation"]["contributions"], item["explanation"]["others"]
            assert len(shown) + others["count"] == len(found.contributions)
            total = sum(part["contribution"] for part in shown) + others["contribution"]
            assert total + sum(found.remainder.values()) == pytest.approx(found.score, abs=1e-9)
        counts = [item["explanation"]["others"]["count"] for item in answer.items()]
        assert (max(counts) > 0) == (query.user_id is not None)
        assert "explanation" not in recommender.recommend(Query(USER, 5)).items()[0]

    def test_not_of_too_many(self, recommender):
        with pytest.raises(RequestError, match=f"at most {MAX_EXPLAINED}"):
            recommender.recommend(Query(USER, MAX_EXPLAINED + 1, explain=True))


class TestRearranged:
    @pytest.mark.parametrize("user_id", [USER, None])
    @pytest.mark.parametrize("k", [10, 40, 60])
    def test_nothing_is_answered_that_may_not_be_and_k_are(self, recommender, user_id, k):
        own = set(recommender.items.ids(recommender.seen.of(7)))
        for seed in range(5):
            query = Query(user_id, k, diversity=0.7, exploration=0.8, seed=seed, exclude_items=(2003,))
            answer = recommender.recommend(query)
            assert len(set(answer.item_ids)) == k
            assert 2003 not in answer.item_ids
            assert user_id is None or not own & set(answer.item_ids)
            assert recommender.recommend(query) == answer

    def test_the_scores_stay_those_of_the_items(self, recommender):
        plain = recommender.recommend(Query(USER, 40))
        scores = dict(zip(plain.item_ids, plain.scores, strict=True))
        various = recommender.recommend(Query(USER, 12, diversity=0.9))
        assert various.item_ids != plain.item_ids[:12]
        assert various.item_ids[0] == plain.item_ids[0]
        assert various.scores == [scores[item_id] for item_id in various.item_ids]

    def test_without_a_seed_lists_differ(self, recommender):
        lists = {tuple(recommender.recommend(Query(USER, 10, exploration=1.0)).item_ids) for _ in range(5)}
        assert len(lists) > 1

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"diversity": 1.01}, "diversity"),
            ({"exploration": -0.1}, "exploration"),
            ({"diversity": float("nan")}, "diversity"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**63}, "seed"),
        ],
    )
    def test_numbers_outside_their_limits(self, recommender, wrong, field):
        with pytest.raises(RequestError, match=field):
            recommender.recommend(Query(USER, **wrong))


class TestSimilarUsers:
    def test_by_the_cosine_of_their_vectors(self, tmp_path):
        folder = write_tiny_artifact(tmp_path / "artifact")
        recommender = Recommender.load(folder)
        vectors = np.load(folder / LAYOUT.user_vectors).astype(np.float64)
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = units @ units[7]
        cosines[7] = -np.inf
        answer = recommender.similar_users(USER, 9)
        assert answer.user_ids == [1000 + row for row in np.argsort(-cosines)[:9].tolist()]
        assert answer.scores == pytest.approx(np.sort(cosines)[::-1][:9], rel=1e-5)
        assert answer.source == "vector"

    def test_by_the_items_they_share_where_there_are_no_vectors(self, tmp_path):
        recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", branches=(BLEND[1], BLEND[3])))
        own = set(recommender.seen.of(7).tolist())
        expected = {1000 + row: len(own & set(recommender.seen.of(row).tolist())) / 6 for row in range(60) if row != 7}
        answer = recommender.similar_users(USER, 60)
        assert dict(zip(answer.user_ids, answer.scores, strict=True)) == pytest.approx(
            {user_id: share for user_id, share in expected.items() if share > 0}
        )
        assert answer.scores == sorted(answer.scores, reverse=True)
        assert answer.source == "history"

    def test_an_unknown_user_has_no_like(self, recommender):
        with pytest.raises(UserNotFoundError):
            recommender.similar_users("nobody")
        with pytest.raises(RequestError, match="k: 0"):
            recommender.similar_users(USER, 0)
