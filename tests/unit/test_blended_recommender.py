"""A model of several branches, asked end to end and compared with a dense computation from the files."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tiny_artifact import BLEND, CLOSED_FORM, write_blended_artifact, write_tiny_artifact

from gnas_serve.artifact.branches import TWO_HOP, spans
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ItemNotFoundError, RequestError
from gnas_serve.runtime.benchmark import benchmark
from gnas_serve.runtime.query import MAX_K, MAX_LIST, Query
from gnas_serve.runtime.recommender import Recommender

USERS, ITEMS = 60, 80


class Dense:
    """What the files of an artifact say, computed the long way."""

    def __init__(self, folder, branches=BLEND):
        self.items = self._vectors(folder, LAYOUT.item_vectors, LAYOUT.item_scales, branches)
        self.users = self._vectors(folder, LAYOUT.user_vectors, LAYOUT.user_scales, branches)
        offsets, items = np.load(folder / LAYOUT.seen_offsets), np.load(folder / LAYOUT.seen_items)
        self.seen = np.split(items, offsets[1:-1])
        self.counts = np.load(folder / LAYOUT.item_counts)
        self.power = next((branch.history_power for branch in branches if branch.kind == TWO_HOP), None)
        if self.power is not None:
            parts = [LAYOUT.neighbour_values, LAYOUT.neighbour_items, LAYOUT.neighbour_offsets]
            values, columns, starts = (np.load(folder / name) for name in parts)
            self.links = sp.csr_matrix((values.astype(np.float64), columns, starts), shape=(ITEMS, ITEMS))

    @staticmethod
    def _vectors(folder, name, scales, branches):
        values = np.load(folder / name).astype(np.float64)
        if (folder / scales).exists():
            for span, scale in zip(spans(branches), np.load(folder / scales).T, strict=True):
                values[:, span] *= scale[:, None]
        return values

    def scores(self, vector, history):
        scores = self.items @ vector
        if self.power is not None and len(history):
            scores += np.asarray(self.links[history].sum(axis=0)).ravel() / len(history) ** self.power
        return scores

    def best(self, vector, history, k, excluded):
        scores = self.scores(vector, history)
        scores[excluded] = -np.inf
        return np.argsort(-scores, kind="stable")[:k]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_blended_artifact(tmp_path_factory.mktemp("blend") / "artifact", without_history=2)


@pytest.fixture(scope="module")
def recommender(folder):
    return Recommender.load(folder)


@pytest.mark.parametrize("tables", ["float32", "float16", "int8"])
def test_known_users_get_the_exact_top_of_the_summed_score(tmp_path, tables):
    folder = write_blended_artifact(tmp_path / "artifact", tables=tables)
    recommender, dense = Recommender.load(folder), Dense(folder)
    for row in range(USERS):
        answer = recommender.recommend(Query(user_id=recommender.users.id(row), k=15))
        expected = dense.best(dense.users[row], dense.seen[row], 15, dense.seen[row])
        assert answer.item_ids == recommender.items.ids(expected)
        assert answer.scores == pytest.approx(dense.scores(dense.users[row], dense.seen[row])[expected], rel=1e-4)
        assert answer.source == "user"


def test_seen_items_may_come_back_and_still_count_as_the_history(folder, recommender):
    dense = Dense(folder)
    answer = recommender.recommend(Query(user_id=recommender.users.id(4), k=9, exclude_seen=False))
    assert answer.item_ids == recommender.items.ids(dense.best(dense.users[4], dense.seen[4], 9, []))


def test_the_history_of_a_request_does_not_change_the_scores_of_a_known_user(folder, recommender):
    dense, given = Dense(folder), np.array([0, 1])
    answer = recommender.recommend(
        Query(user_id=recommender.users.id(4), k=9, history=tuple(recommender.items.ids(given)))
    )
    excluded = np.union1d(dense.seen[4], given)
    assert answer.item_ids == recommender.items.ids(dense.best(dense.users[4], dense.seen[4], 9, excluded))


def test_a_newcomer_with_a_known_users_history_gets_that_users_list(folder, recommender):
    dense = Dense(folder)
    for row in range(10):
        known = recommender.recommend(Query(user_id=recommender.users.id(row), k=15))
        history = tuple(recommender.items.ids(dense.seen[row]))
        newcomer = recommender.recommend(Query(k=15, history=history))
        assert newcomer.source == "fold_in"
        assert newcomer.item_ids == known.item_ids
        assert newcomer.scores == pytest.approx(known.scores, rel=1e-4)


def test_without_any_history_there_is_popularity_alone(folder, recommender):
    counts = Dense(folder).counts
    popular = recommender.items.ids(np.argsort(-counts, kind="stable")[:5])
    known_without_items = recommender.users.id(USERS - 1)
    for query in (Query(user_id=known_without_items, k=5), Query(user_id="nobody", k=5), Query(k=5)):
        answer = recommender.recommend(query)
        assert (answer.source, answer.item_ids) == ("popularity", popular)
    folded = recommender.recommend(Query(user_id=known_without_items, k=5, history=(recommender.items.id(3),)))
    assert folded.source == "fold_in"


def test_newcomers_are_answered_by_popularity_where_that_was_found_better(tmp_path):
    recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", newcomers="popularity"))
    history = tuple(recommender.items.ids([1, 2, 3]))
    assert recommender.recommend(Query(k=5, history=history)).source == "popularity"
    assert recommender.recommend(Query(user_id=recommender.users.id(0), k=5, history=history)).source == "user"


def test_links_alone_can_stand_for_a_user(tmp_path):
    folder = write_blended_artifact(tmp_path / "artifact", branches=(BLEND[1], BLEND[3]))
    recommender, dense = Recommender.load(folder), Dense(folder, (BLEND[1], BLEND[3]))
    answer = recommender.recommend(Query(user_id=recommender.users.id(0), k=8))
    assert answer.source == "user"
    assert answer.item_ids == recommender.items.ids(dense.best(dense.users[0], dense.seen[0], 8, dense.seen[0]))
    unlinked = np.flatnonzero(np.diff(np.load(folder / LAYOUT.neighbour_offsets)) == 0)[:2]
    history = tuple(recommender.items.ids(unlinked))
    assert recommender.recommend(Query(k=8, history=history)).source == "popularity"


def test_a_popularity_model_says_that_it_is_one(tmp_path):
    recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", branches=BLEND[3:]))
    user_id = recommender.users.id(0)
    assert recommender.recommend(Query(user_id=user_id, history=(recommender.items.id(1),))).source == "popularity"


@pytest.mark.parametrize("projected", [False, True])
def test_a_long_list_is_a_longer_version_of_a_short_one(tmp_path, projected):
    recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", projected=projected))
    for row in range(8):
        user_id = recommender.users.id(row)
        whole = recommender.recommend(Query(user_id=user_id, k=MAX_K))
        assert len(set(whole.item_ids)) == len(whole.item_ids) == ITEMS - 6
        assert whole.scores == sorted(whole.scores, reverse=True)
        for k in (3, recommender.candidates, recommender.candidates + 5):
            short = recommender.recommend(Query(user_id=user_id, k=k))
            assert (whole.item_ids[:k], whole.scores[:k]) == (short.item_ids, short.scores)


def test_a_projected_index_finds_most_and_scores_exactly(tmp_path):
    folder = write_blended_artifact(tmp_path / "artifact", projected=True)
    recommender, dense = Recommender.load(folder), Dense(folder)
    found = 0
    for row in range(USERS):
        answer = recommender.recommend(Query(user_id=recommender.users.id(row), k=10))
        scores = dense.scores(dense.users[row], dense.seen[row])
        assert answer.scores == pytest.approx(scores[recommender.items.rows(answer.item_ids)], rel=1e-4)
        expected = recommender.items.ids(dense.best(dense.users[row], dense.seen[row], 10, dense.seen[row]))
        found += len(set(answer.item_ids) & set(expected))
    assert 0.5 < found / (10 * USERS) < 1


def test_a_ranker_sees_every_branch(tmp_path):
    weights = (0.0, 2.0, -0.5, 1.0)
    folder = write_blended_artifact(
        tmp_path / "artifact", cross=tuple(f"branch_z.{place}" for place in range(4)), weights=weights
    )
    recommender, dense = Recommender.load(folder), Dense(folder)
    answer = recommender.recommend(Query(user_id=recommender.users.id(2), k=10))
    best = dense.best(dense.users[2], dense.seen[2], recommender.candidates, dense.seen[2])
    parts = [dense.items[best][:, span] @ dense.users[2][span] for span in spans(BLEND)]
    parts.append(dense.scores(np.zeros(11), dense.seen[2])[best])
    ranked = sum(
        weight * (part - part.mean()) / part.std() for weight, part in zip(weights, parts, strict=True) if weight
    )
    order = np.argsort(-ranked, kind="stable")[:10]
    assert answer.item_ids == recommender.items.ids(best[order])
    assert answer.scores == pytest.approx(ranked[order], rel=1e-3, abs=1e-4)


def test_the_benchmark_adds_links_to_brute_force_too(tmp_path):
    # So many items that no list of candidates holds what links alone bring to the top.
    exact = Recommender.load(write_blended_artifact(tmp_path / "exact", num_items=900))
    assert benchmark(exact, requests=60, k=10).recall == 1.0
    projected = Recommender.load(write_blended_artifact(tmp_path / "projected", num_items=900, projected=True))
    assert benchmark(projected, requests=60, k=10).recall < 1.0


def test_what_it_is_made_of_is_told(recommender):
    assert recommender.info.branches == ("filter", "two-hop", "gnn", "popularity")


class TestExplain:
    def test_a_closed_form_is_divided_exactly_among_the_history(self, tmp_path):
        folder = write_blended_artifact(tmp_path / "artifact", branches=CLOSED_FORM)
        recommender, dense = Recommender.load(folder), Dense(folder, CLOSED_FORM)
        for row in range(0, USERS, 5):
            for item in (0, 33, int(dense.seen[row][0])):
                found = recommender.explain(recommender.items.id(item), recommender.users.id(row))
                score = dense.scores(dense.users[row], dense.seen[row])[item]
                given = {item_id for item_id, _ in found.contributions}
                assert given <= set(recommender.items.ids(dense.seen[row]))
                popularity = dense.items[item, -1] * dense.users[row, -1]
                due = sum(value for _, value in found.contributions)
                assert due + popularity == pytest.approx(score, rel=1e-5, abs=1e-5)
                assert found.score == pytest.approx(score, rel=1e-5, abs=1e-5)
                assert found.remainder["popularity"] == pytest.approx(popularity, rel=1e-5)
                assert found.remainder["filter"] == pytest.approx(0.0, abs=1e-5)
                assert found.remainder["two-hop"] == pytest.approx(0.0, abs=1e-6)
                assert found.exact
                sizes = [abs(value) for _, value in found.contributions]
                assert sizes == sorted(sizes, reverse=True)

    def test_an_item_adds_what_a_history_without_it_lacks(self, tmp_path):
        # Without division by the length of the history, taking an item away takes its contribution away.
        branches = tuple(replace(branch, history_power=0.0) for branch in CLOSED_FORM)
        recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", branches=branches))
        history = tuple(recommender.items.ids([3, 14, 15, 9]))
        whole = recommender.explain(2026, history=history)
        for place, item_id in enumerate(history):
            less = recommender.explain(2026, history=history[:place] + history[place + 1 :])
            added = dict(whole.contributions).get(item_id, 0.0)
            assert whole.score - less.score == pytest.approx(added, abs=1e-5)

    @pytest.mark.parametrize("tables", ["float32", "int8"])
    def test_contributions_and_remainder_add_up_to_the_score_that_is_served(self, tmp_path, tables):
        recommender = Recommender.load(write_blended_artifact(tmp_path / "artifact", tables=tables))
        user_id = recommender.users.id(7)
        answer = recommender.recommend(Query(user_id=user_id, k=5))
        for item_id, score in zip(answer.item_ids, answer.scores, strict=True):
            found = recommender.explain(item_id, user_id)
            assert (found.item_id, found.source) == (item_id, "user")
            total = sum(value for _, value in found.contributions) + sum(found.remainder.values())
            assert total == pytest.approx(score, rel=1e-5, abs=1e-5)
            assert found.score == pytest.approx(total)

    def test_a_networks_shares_are_those_of_its_fold_in_map_and_said_to_be_approximate(self, tmp_path):
        folder = write_tiny_artifact(tmp_path / "artifact")  # whose map is the identity
        recommender = Recommender.load(folder)
        found = recommender.explain(2008, 1001)
        vectors = np.load(folder / LAYOUT.item_vectors)
        past = recommender.seen.of(1)
        counts = np.maximum(np.load(folder / LAYOUT.item_counts)[past], 1)
        shares = (vectors[past] @ vectors[8]) / np.sqrt(counts * len(past))
        assert dict(found.contributions) == pytest.approx(
            dict(zip(recommender.items.ids(past), shares, strict=True)), rel=1e-4, abs=1e-6
        )
        whole = float(np.load(folder / LAYOUT.user_vectors)[1] @ vectors[8])
        assert found.score == pytest.approx(whole, rel=1e-5)
        assert found.remainder == {"gnn": pytest.approx(whole - shares.sum(), rel=1e-4)}
        assert found.exact is False

    def test_a_share_of_a_user_of_unit_length_is_shortened_as_the_vector_is(self, folder, recommender):
        found = recommender.explain(2008, 1001)  # the users of this artifact are what their maps make of them
        assert found.remainder["gnn"] == pytest.approx(0.0, abs=1e-5)
        assert found.exact is False

    def test_branches_of_one_kind_are_told_as_one(self, tmp_path):
        branches = (BLEND[2], BLEND[3], replace(BLEND[2], name="another"))
        folder = write_blended_artifact(tmp_path / "artifact", branches=branches)
        recommender, dense = Recommender.load(folder), Dense(folder, branches)
        found = recommender.explain(recommender.items.id(8), recommender.users.id(1))
        assert set(found.remainder) == {"gnn", "popularity"}
        assert found.score == pytest.approx(dense.items[8] @ dense.users[1], rel=1e-5)

    def test_it_is_said_in_words_with_the_items_that_add_most(self, recommender):
        found = recommender.explain(2008, 1001)
        positive = [item_id for item_id, value in found.contributions if value > 0]
        assert len(positive) > 3
        assert found.reason() == ("because of what you had: {0}, {1} and {2}", tuple(positive[:3]))
        one = replace(found, contributions=((2001, 0.5), (2002, -0.5)), source="fold_in")
        assert one.reason() == ("because of what you look at: {0}", (2001,))
        assert replace(found, contributions=()).reason() == ("because many others have it", ())

    def test_a_newcomer_and_somebody_unknown(self, folder, recommender):
        dense = Dense(folder)
        history = tuple(recommender.items.ids(dense.seen[3]))
        known = recommender.explain(2008, recommender.users.id(3))
        newcomer = recommender.explain("2008", history=history)
        assert newcomer.source == "fold_in"
        assert dict(newcomer.contributions) == pytest.approx(dict(known.contributions), rel=1e-4, abs=1e-6)
        unknown = recommender.explain(2008, "nobody")
        assert (unknown.source, unknown.contributions) == ("popularity", ())
        assert unknown.score == unknown.remainder["popularity"] == pytest.approx(np.log1p(dense.counts[8]))
        assert unknown.to_json() == {
            "item_id": 2008,
            "score": unknown.score,
            "source": "popularity",
            "contributions": [],
            "remainder": {"popularity": unknown.score},
            "exact": True,
            "reason": {"template": "because many others have it", "items": []},
        }

    def test_what_cannot_be_explained(self, recommender):
        with pytest.raises(ItemNotFoundError, match="is unknown to this model"):
            recommender.explain("no such item", recommender.users.id(0))
        with pytest.raises(RequestError, match="history"):
            recommender.explain(2008, history=tuple(range(MAX_LIST + 1)))
