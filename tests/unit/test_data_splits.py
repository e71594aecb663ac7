"""Splits: disjoint, complete, deterministic, and blind to what comes later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from written_logs import make

from gnas_search.data import policies
from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.interactions import FeatureTable
from gnas_search.data.splits import check_same_data, split
from gnas_serve.errors import ConfigError, DataError, DataMismatchError


def pairs(dataset: Dataset, matrix: sp.csr_matrix) -> set[tuple[int | str, int | str]]:
    users, items = matrix.nonzero()
    return set(zip(dataset.users.ids(users), dataset.items.ids(items), strict=True))


def asked(dataset: Dataset, test: TestPart) -> set[tuple[int | str, int | str]]:
    lines, items = test.relevant.nonzero()
    return {(test.user_ids[line], dataset.items.id(item)) for line, item in zip(lines, items, strict=True)}


LOGS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 6), st.sampled_from(["train", "valid", "test"])),
    min_size=12,
    max_size=90,
)


@settings(max_examples=80, deadline=None)
@given(LOGS, st.sampled_from(["temporal", "random", "leave-last-out", "given"]))
def test_parts_are_disjoint_complete_and_deterministic(drawn: list[tuple[int, int, int, str]], policy: str) -> None:
    rows = [(user, item) for user, item, _, _ in drawn]
    interactions = make(
        rows,
        times=[float(time) for _, _, time, _ in drawn],
        parts=[part for *_, part in drawn] if policy == "given" else None,
        split="auto" if policy == "given" else policy,
    )
    try:
        dataset, test = split(interactions)
    except DataError:
        return  # too little to train or validate on: tested by itself
    train, valid = pairs(dataset, dataset.selection.positives), pairs(dataset, dataset.valid)
    tested = asked(dataset, test)
    assert not train & valid
    assert not (train | valid) & tested
    assert pairs(dataset, dataset.final.positives) == train | valid
    assert len(train) + len(valid) + int(test.num_relevant.sum()) == len(set(rows))
    assert train | valid | tested <= set(rows)
    assert dataset.selection.positives.has_canonical_format
    assert set(np.unique(dataset.final.edges.data)) == {1.0}
    again, test_again = split(interactions)
    assert pairs(again, again.valid) == valid
    assert test_again.user_ids == test.user_ids == sorted(test.user_ids)
    assert (test_again.relevant != test.relevant).nnz == 0
    if policy != "given":
        for user in {user for user, _ in rows}:
            assert any(user == kept for kept, _ in train), "every user keeps something in train"


def test_temporal_holds_out_the_last_tenths_and_leaves_short_histories_in_train() -> None:
    users = np.repeat(np.array([0, 1, 2]), [20, 2, 3])
    times = np.concatenate([np.arange(20.0)[::-1], [5.0, 6.0], [1.0, 3.0, 2.0]])
    parts = policies.temporal(users, times)
    assert parts[:20].tolist() == [2, 2, 1, 1] + [0] * 16
    assert parts[20:].tolist() == [0, 0, 0, 2, 1]


def test_equal_times_follow_the_file() -> None:
    assert policies.temporal(np.zeros(4, dtype=np.int64), np.ones(4)).tolist() == [0, 0, 1, 2]


def test_data_that_names_no_events_has_no_kinds() -> None:
    assert split(make([(1, item) for item in range(6)]))[0].events == ()


def test_leave_last_out_takes_one_each() -> None:
    parts = policies.leave_last_out(np.repeat(np.array([3, 7]), [30, 2]), np.arange(32.0))
    assert parts.tolist() == [0] * 28 + [1, 2, 0, 0]


def test_random_depends_on_the_seed_and_not_on_the_file() -> None:
    rows = [(user, item) for user in range(6) for item in range(20)]
    first, _ = split(make(rows, split="random"))
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    second, _ = split(make(shuffled, split="random"))
    other, _ = split(make(rows, split="random", split_seed=1))
    assert pairs(first, first.valid) == pairs(second, second.valid)
    assert pairs(first, first.valid) != pairs(other, other.valid)
    assert np.diff(first.valid.indptr).tolist() == [2] * 6
    assert first.policy == "random"


@pytest.mark.parametrize(("times", "policy"), [(None, "given+random"), (range(60), "given+temporal")])
def test_validation_is_carved_from_a_given_train_part(times: range | None, policy: str) -> None:
    rows = [(user, item) for user in range(3) for item in range(20)]
    parts = ["test" if item >= 15 else "train" for _, item in rows]
    dataset, test = split(make(rows, parts=parts, times=None if times is None else [float(t) for t in times]))
    assert dataset.policy == policy
    assert np.diff(dataset.valid.indptr).tolist() == [2, 2, 2]
    assert test.num_relevant.tolist() == [5, 5, 5]
    if times is not None:
        assert pairs(dataset, dataset.valid) == {(user, item) for user in range(3) for item in (13, 14)}


def test_a_given_validation_part_is_used_and_repeats_are_not_asked_for() -> None:
    rows = [(1, 10), (1, 11), (1, 10), (1, 12), (1, 12), (2, 10)]
    dataset, test = split(make(rows, parts=["test", "train", "train", "test", "valid", "train"]))
    assert dataset.policy == "given"
    assert pairs(dataset, dataset.selection.positives) == {(1, 10), (1, 11), (2, 10)}
    assert pairs(dataset, dataset.valid) == {(1, 12)}
    assert test.user_ids == []
    assert {w.code: w.count for w in dataset.warnings} == {"repeats_across_parts": 2}


def test_users_and_items_of_test_alone_are_counted_and_stay_in_the_denominator() -> None:
    rows = [(1, 10), (1, 11), (1, 12), (2, 10), (1, 99), (9, 10)]
    dataset, test = split(make(rows, parts=["train", "train", "valid", "train", "test", "test"]))
    assert test.user_ids == [1, 9]
    assert test.user_rows.tolist() == [0, -1]
    assert test.num_relevant.tolist() == [1, 1]
    assert asked(dataset, test) == {(9, 10)}
    assert dataset.users.row(9) == -1
    assert {w.code: w.count for w in dataset.warnings} == {"test_only_users": 1, "test_only_items": 1}


def test_other_events_are_edges_alone_and_none_from_the_first_question_on() -> None:
    buys = [(1, item) for item in range(10)]
    views = [(1, 50), (1, 51), (1, 52), (2, 53)]
    dataset, test = split(
        make(
            buys + views,
            events=["buy"] * 10 + ["view"] * 4,
            times=[float(t) for t in range(10)] + [1.0, 8.0, 9.0, 99.0],
            target="buy",
        )
    )
    train = {(1, item) for item in range(8)}
    assert pairs(dataset, dataset.selection.positives) == train
    assert pairs(dataset, dataset.selection.edges) == train | {(1, 50), (2, 53)}
    assert pairs(dataset, dataset.final.edges) == train | {(1, 8), (1, 50), (1, 51), (2, 53)}
    assert dataset.items.row(52) == -1
    assert dataset.events == ("buy", "view")
    assert asked(dataset, test) == set()  # item 9 occurs in test alone
    assert test.num_relevant.tolist() == [1]
    warned = {w.code: w.count for w in dataset.warnings}
    assert warned["later_events"] == 2
    assert "untimed_events" not in warned


def test_other_events_of_the_test_part_are_unknown() -> None:
    rows = [(1, 10), (1, 11), (1, 12), (1, 20), (1, 21), (1, 22)]
    dataset, _ = split(
        make(
            rows,
            events=["buy"] * 3 + ["view"] * 3,
            parts=["train", "valid", "test", "train", "valid", "test"],
            target="buy",
        )
    )
    assert pairs(dataset, dataset.selection.edges) == {(1, 10), (1, 20)}
    assert pairs(dataset, dataset.final.edges) == {(1, 10), (1, 11), (1, 20), (1, 21)}
    warned = {w.code: (w.count, w.message) for w in dataset.warnings}
    assert warned["untimed_events"] == (3, "no timestamps: other events may lie after the held-out ones")


def test_without_a_target_event_all_are_targets_and_merged_per_pair() -> None:
    rows = [(1, item) for item in range(6)] * 2
    dataset, test = split(
        make(rows, events=["buy"] * 6 + ["view"] * 6, times=[float(t) for t in range(12)], target=None)
    )
    assert pairs(dataset, dataset.selection.edges) == {(1, item) for item in range(4)}
    assert pairs(dataset, dataset.valid) == {(1, 4)}
    assert int(test.num_relevant.sum()) == 1


def test_ratings_below_the_least_are_left_out_and_missing_ones_stay() -> None:
    rows = [(1, item) for item in range(6)]
    ratings = [1.0, 5.0, 4.0, 3.9, float("nan"), 5.0]
    dataset, _ = split(make(rows, times=[0.0, 1, 2, 3, 4, 5], ratings=ratings, min_rating=4.0))
    assert pairs(dataset, dataset.final.edges) == {(1, 1), (1, 2), (1, 4)}
    assert pairs(dataset, dataset.valid) == {(1, 4)}


def test_features_and_recency_follow_the_items_that_stay() -> None:
    interactions = make([(1, item) for item in (10, 11, 12, 13, 14)], times=[0.0, 10, 20, 30, 40])
    interactions = replace(interactions, item_features=FeatureTable(("x",), np.arange(5, dtype=np.float32)[:, None]))
    dataset, _ = split(interactions)
    assert dataset.items.ids(range(len(dataset.items))) == [10, 11, 12, 13]
    assert dataset.item_features is not None
    assert dataset.item_features.values.ravel().tolist() == [0, 1, 2, 3]
    assert dataset.item_recency is not None
    assert dataset.item_recency.tolist() == [0.0, 0.5, 1.0, 0.0]  # the last was not yet seen in train


def test_text_ids_survive_the_split() -> None:
    users = ["anna", "bo", "çelik", "日本"]
    rows = [(user, f"sku-{item}") for user in users for item in range(5)]
    dataset, test = split(make(rows, times=[float(t) for t in range(len(rows))]))  # type: ignore[arg-type]
    assert dataset.users.ids(range(4)) == users == test.user_ids
    dataset.users.validate()
    dataset.items.validate()
    assert dataset.items.row("sku-2") == 2
    assert ("日本", "sku-3") in pairs(dataset, dataset.valid)


def test_nothing_to_validate_on_is_an_error() -> None:
    with pytest.raises(DataError, match="left for validation"):
        split(make([(1, 10), (2, 11)], times=[1.0, 2.0]))
    with pytest.raises(DataError, match="left for train"):
        split(make([(1, 10), (2, 11)], parts=["test", "valid"]))


@pytest.mark.parametrize("policy", ["temporal", "leave-last-out"])
def test_splits_by_time_need_times(policy: str) -> None:
    with pytest.raises(ConfigError, match="needs timestamps"):
        split(make([(1, 10), (1, 11), (1, 12)], split=policy))


def test_other_data_is_refused_naming_both_fingerprints() -> None:
    dataset, _ = split(make([(1, item) for item in range(5)]))
    check_same_data(dataset, "f" * 64, "STUDY runs/a")
    with pytest.raises(DataMismatchError, match=r"STUDY runs/a was made from other data: aaaaaaaaaaaa there, f{12} "):
        check_same_data(dataset, "a" * 64, "STUDY runs/a")
