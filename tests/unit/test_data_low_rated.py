"""Low ratings: where they belong under each split, and that nothing is learned from them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.interactions import DatasetConfig, Interactions
from gnas_search.data.splits import split
from gnas_serve.errors import DataError
from gnas_serve.vocabulary import Vocabulary

PARTS = ("train", "valid", "test")
Row = tuple[int, int, float, float, str]


def _logs(rows: list[Row], **config: object) -> Interactions:
    """Rows of user, item, rating, time, part."""
    users, items = Vocabulary.from_ids([row[0] for row in rows]), Vocabulary.from_ids([row[1] for row in rows])
    given_parts = bool(config.pop("given", False))
    timed = bool(config.pop("timed", True))
    return Interactions(
        users=users,
        items=items,
        user_rows=users.rows([row[0] for row in rows]).astype(np.int32),
        item_rows=items.rows([row[1] for row in rows]).astype(np.int32),
        event_codes=np.zeros(len(rows), dtype=np.int16),
        events=("rating",),
        target_event="rating",
        timestamps=np.array([row[3] for row in rows]) if timed else None,
        ratings=np.array([row[2] for row in rows], dtype=np.float32),
        parts=np.array([PARTS.index(row[4]) for row in rows], dtype=np.int8) if given_parts else None,
        item_features=None,
        user_features=None,
        item_titles=None,
        fingerprint="f" * 64,
        config=DatasetConfig(min_rating=4.0, **config),  # type: ignore[arg-type]
    )


def _negatives(dataset: Dataset, test: TestPart) -> tuple[set[tuple[object, object]], set[tuple[object, object]]]:
    assert dataset.valid_negatives is not None
    assert test.negatives is not None
    users, items = dataset.valid_negatives.nonzero()
    lines, tested = test.negatives.nonzero()
    return (
        set(zip(dataset.users.ids(users), dataset.items.ids(items), strict=True)),
        {(test.user_ids[line], dataset.items.id(item)) for line, item in zip(lines.tolist(), tested, strict=True)},
    )


def _one_user(ratings: str) -> list[Row]:
    """One rating after the other, of items 0, 1, ...; others have rated every item well and long ago."""
    mine = [(1, item, float(rating), 100.0 + item, "train") for item, rating in enumerate(ratings)]
    return mine + [(0, item, 5.0, float(item), "train") for item in range(30)]


def test_by_time_they_are_from_the_users_first_held_out_interaction_on() -> None:
    # Twelve good ratings: the last is test, the one before validation.
    dataset, test = split(_logs(_one_user("5515555515555" + "151" + "5"), split="temporal"))
    valid, tested = _negatives(dataset, test)
    wanted = {(1, item) for item in (2, 8)}
    assert not wanted & (valid | tested)
    held = [item for user, item in zip(*dataset.valid.nonzero(), strict=True) if dataset.users.id(user) == 1]
    assert valid == {(1, item) for item in (13, 15) if min(held) < item < 16} or valid == set()
    assert {user for user, _ in valid | tested} <= {1}


def test_by_time_by_hand() -> None:
    # Good: items 0..9 and 11, 13: 12 of them, so one each is held out: 13 in test, 11 in validation.
    dataset, test = split(_logs(_one_user("5555555555" + "1" + "5" + "1" + "5" + "1"), split="temporal"))
    valid, tested = _negatives(dataset, test)
    assert (valid, tested) == ({(1, 12)}, {(1, 14)})
    assert dataset.selection.positives[1, 10] == dataset.final.edges[1, 12] == 0


def test_a_given_part_is_kept_and_validation_carved_from_train() -> None:
    rows = _one_user("5555555555" + "1" + "5" + "1" + "5" + "1")
    parted = [(*row[:4], "test" if row[0] == 1 and row[1] in (0, 10) else "train") for row in rows]
    dataset, test = split(_logs(parted, given=True))
    assert dataset.policy == "given+temporal"
    assert _negatives(dataset, test) == ({(1, 14)}, {(1, 10)})
    whole = [(*row[:4], "valid" if row[1] in (12, 5) else row[4]) for row in parted]
    dataset, test = split(_logs(whole, given=True))
    assert dataset.policy == "given"
    assert _negatives(dataset, test) == ({(1, 12)}, {(1, 10)})


def test_without_times_a_tenth_is_drawn_as_of_positives() -> None:
    rng = np.random.default_rng(0)
    rows = [(u, i, float(rng.integers(1, 6)), 0.0, "train") for u in range(40) for i in range(60) if rng.random() < 0.7]
    for given_parts, policy in ((False, "random"), (True, "given+random")):
        parted = [(*row[:4], "test" if given_parts and sum(row[:2]) % 10 == 0 else "train") for row in rows]
        dataset, test = split(_logs(parted, given=given_parts, timed=False))
        assert dataset.policy == policy
        low = {(row[0], row[1]) for row in parted if row[2] < 4}
        valid, tested = _negatives(dataset, test)
        assert valid | tested <= low
        assert not valid & tested
        assert len(valid) / len(low) == pytest.approx(0.1, abs=0.02)
        assert len(tested) / len(low) == pytest.approx(0.1, abs=0.02)
        shuffled = [parted[place] for place in rng.permutation(len(parted))]
        assert _negatives(*split(_logs(shuffled, given=given_parts, timed=False))) == (valid, tested)


def test_where_nothing_is_rated_low_there_are_none() -> None:
    dataset, test = split(_logs([row for row in _one_user("5" * 15) if row[2] >= 4]))
    assert dataset.valid_negatives is test.negatives is None


LOGS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 9),
        st.integers(1, 5).map(float),
        st.integers(0, 6).map(float),
        st.sampled_from(PARTS),
    ),
    min_size=15,
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(LOGS, st.sampled_from(["temporal", "random", "leave-last-out", "given"]))
def test_they_are_positives_nowhere_and_change_no_graph(rows: list[Row], policy: str) -> None:
    given_parts = policy == "given"
    options = {"given": given_parts, "split": "auto" if given_parts else policy}
    try:
        dataset, test = split(_logs(rows, **options))
        without, test_without = split(_logs([row for row in rows if row[2] >= 4], **options))
    except DataError:
        return
    for matrix, other in ((dataset.selection.edges, without.selection.edges), (dataset.valid, without.valid)):
        assert (matrix != other).nnz == 0
    assert test.user_ids == test_without.user_ids
    if dataset.valid_negatives is None or test.negatives is None:
        return
    positives = dataset.final.positives + sp.csr_matrix(dataset.valid)
    assert positives.multiply(dataset.valid_negatives).nnz == 0
    assert test.relevant.multiply(test.negatives).nnz == 0
    for line, row in enumerate(test.user_rows):
        if row >= 0:
            assert dataset.final.positives[row].multiply(test.negatives[line]).nnz == 0
            assert dataset.valid_negatives[row].multiply(test.negatives[line]).nnz == 0
