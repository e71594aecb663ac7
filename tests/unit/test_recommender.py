import numpy as np
import pytest
from tiny_artifact import SEEN_PER_USER, write_tiny_artifact

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import ConfigError, IntegrityError, ItemNotFoundError, RequestError
from gnas_serve.runtime.query import MAX_CANDIDATES, MAX_K, MAX_LIST, Query
from gnas_serve.runtime.recommender import Recommender


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_artifact(tmp_path_factory.mktemp("tiny") / "artifact")


@pytest.fixture(scope="module")
def recommender(folder):
    return Recommender.load(folder)


def _seen(folder, user_row):
    offsets, items = np.load(folder / LAYOUT.seen_offsets), np.load(folder / LAYOUT.seen_items)
    return items[offsets[user_row] : offsets[user_row + 1]]


def _expected(folder, recommender, user_row, k, *, excluded):
    users, items = np.load(folder / LAYOUT.user_vectors), np.load(folder / LAYOUT.item_vectors)
    scores = items.astype(np.float64) @ users[user_row]
    scores[excluded] = -np.inf
    order = sorted(range(len(items)), key=lambda row: (-scores[row], row))
    return recommender.items.ids([row for row in order if scores[row] > -np.inf][:k])


def test_a_known_user_gets_the_best_unseen_items(folder, recommender):
    for user_row in range(0, recommender.info.num_users, 7):
        answer = recommender.recommend(Query(user_id=recommender.users.id(user_row), k=10))
        assert answer.source == "user"
        assert answer.item_ids == _expected(folder, recommender, user_row, 10, excluded=_seen(folder, user_row))
        assert answer.scores == sorted(answer.scores, reverse=True)


def test_seen_items_come_back_on_request(folder, recommender):
    answer = recommender.recommend(Query(user_id=recommender.users.id(3), k=10, exclude_seen=False))
    assert answer.item_ids == _expected(folder, recommender, 3, 10, excluded=[])


def test_excluded_items_and_the_given_history_are_left_out(recommender):
    user_id = recommender.users.id(0)
    first = recommender.recommend(Query(user_id=user_id, k=4)).item_ids
    again = recommender.recommend(Query(user_id=user_id, k=4, exclude_items=(first[0],), history=(first[1],)))
    assert again.source == "user"
    assert again.item_ids[:2] == first[2:]


def test_candidates_are_all_that_may_be_answered(recommender):
    user_id = recommender.users.id(0)
    everything = recommender.recommend(Query(user_id=user_id, k=1000)).item_ids
    some = (*everything[10:60:5], "of no catalogue")
    answer = recommender.recommend(Query(user_id=user_id, k=6, candidates=some, exclude_items=(some[0],)))
    assert answer.item_ids == [*some[1:7]]
    assert recommender.recommend(Query(user_id=user_id, candidates=())).item_ids == []
    unknown = recommender.recommend(Query(k=4, candidates=some))
    assert unknown.source == "popularity"
    assert set(unknown.item_ids) < set(some)
    assert len(unknown.item_ids) == 4


def test_an_integer_id_may_be_asked_for_as_text(recommender):
    user_id = recommender.users.id(5)
    assert recommender.recommend(Query(user_id=str(user_id))) == recommender.recommend(Query(user_id=user_id))


def test_an_unknown_user_with_a_history_is_folded_in(recommender):
    history = tuple(recommender.items.ids([1, 2, 3]))
    answer = recommender.recommend(Query(user_id=10**9, k=10, history=history))
    assert answer.source == "fold_in"
    assert not set(answer.item_ids) & set(history)


def test_an_unknown_user_without_a_history_gets_what_is_popular(folder, recommender):
    counts = np.load(folder / LAYOUT.item_counts)
    order = sorted(range(len(counts)), key=lambda row: (-counts[row], row))
    for query in (Query(user_id="nobody", k=5), Query(k=5), Query(k=5, history=("no such item",))):
        answer = recommender.recommend(query)
        assert answer.source == "popularity"
        assert answer.item_ids == recommender.items.ids(order[:5])
        assert answer.scores == pytest.approx(np.log1p(counts[order[:5]]))


@pytest.mark.parametrize("order", ["the retriever's", "another"])
def test_a_long_list_is_a_longer_version_of_a_short_one(recommender, tmp_path, order):
    if order == "another":
        # Features that are relative to the candidate list, as a learned ranker has them.
        folder = write_tiny_artifact(tmp_path / "art", cross=("score_z", "log_rank"), weights=(-1.0, 0.7))
        recommender = Recommender.load(folder)
    for user_row in range(10):
        user_id = recommender.users.id(user_row)
        whole = recommender.recommend(Query(user_id=user_id, k=MAX_K))
        assert len(set(whole.item_ids)) == len(whole.item_ids) == recommender.info.num_items - SEEN_PER_USER
        assert whole.scores == sorted(whole.scores, reverse=True)
        for k in (3, recommender.candidates - 1, recommender.candidates, recommender.candidates + 5):
            short = recommender.recommend(Query(user_id=user_id, k=k))
            assert whole.item_ids[:k] == short.item_ids
            assert whole.scores[:k] == short.scores


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1, 10**9])
def test_k_outside_its_limits_is_refused(recommender, k):
    with pytest.raises(RequestError, match="k: "):
        recommender.recommend(Query(user_id=0, k=k))
    with pytest.raises(RequestError, match="k: "):
        recommender.similar_items(recommender.items.id(0), k)


@pytest.mark.parametrize(
    ("name", "most"), [("history", MAX_LIST), ("exclude_items", MAX_LIST), ("candidates", MAX_CANDIDATES)]
)
def test_an_overlong_list_is_refused(recommender, name, most):
    with pytest.raises(RequestError, match=name):
        recommender.recommend(Query(user_id=0, **{name: tuple(range(most + 1))}))


def test_similar_items_are_ordered_by_cosine_without_the_item_itself(folder, recommender):
    vectors = np.load(folder / LAYOUT.item_vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    answer = recommender.similar_items(recommender.items.id(4), 6)
    order = [row for row in np.argsort(-(unit @ unit[4]), kind="stable") if row != 4][:6]
    assert answer.item_ids == recommender.items.ids(order)
    assert answer.scores == pytest.approx((unit @ unit[4])[order], abs=1e-5)


def test_an_unknown_item_is_an_error(recommender):
    with pytest.raises(ItemNotFoundError, match="is unknown to this model"):
        recommender.similar_items("no such item")


def test_text_ids_come_back_as_text(tmp_path):
    recommender = Recommender.load(write_tiny_artifact(tmp_path / "text", text_ids=True))
    answer = recommender.recommend(Query(user_id=recommender.users.id(2), k=3))
    assert answer.source == "user"
    assert all(isinstance(item_id, str) for item_id in answer.item_ids)


def test_a_damaged_artifact_is_never_loaded(tmp_path):
    folder = write_tiny_artifact(tmp_path / "artifact")
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        altered = bytearray(original)
        altered[len(altered) // 2] ^= 0xFF
        path.write_bytes(altered)
        with pytest.raises(IntegrityError):
            Recommender.load(folder)
        path.write_bytes(original)
    Recommender.load(folder)


def test_a_folder_that_is_no_artifact_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        Recommender.load(tmp_path)
