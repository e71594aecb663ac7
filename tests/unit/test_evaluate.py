"""What models are selected by, the masking, the sample of users, and the intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from toy_study import make_dataset

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import (
    Validation,
    fresh_validation,
    rank_metrics,
    validation_of,
)
from gnas_serve.errors import DataError


def _csr(rows: list[list[int]], num_items: int) -> sp.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([item for row in rows for item in sorted(row)], dtype=np.int32)
    return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(rows), num_items))


def test_metrics_by_hand() -> None:
    relevant = _csr([[1, 4], [0], [2, 3, 5]], 6)
    metrics = rank_metrics([np.array([4, 0, 1]), np.array([1, 2, 3]), np.array([5])], relevant, k=3)
    assert metrics.recall.tolist() == [1.0, 0.0, pytest.approx(1 / 3)]
    first = (1 + 0.5) / (1 + 1 / math.log2(3))
    third = 1 / (1 + 1 / math.log2(3) + 0.5)
    assert metrics.ndcg.tolist() == pytest.approx([first, 0.0, third])
    assert metrics.mean() == pytest.approx((4 / 9, (first + third) / 3))


def test_recall_divides_by_all_relevant_items_and_ndcg_by_the_best_possible_list() -> None:
    metrics = rank_metrics([np.arange(2)], _csr([[0, 1, 2, 3]], 4), k=2)
    assert metrics.recall.tolist() == [0.5]
    assert metrics.ndcg.tolist() == [1.0]


def test_relevant_items_without_a_row_count_in_the_denominators() -> None:
    metrics = rank_metrics([np.array([0, 1])], _csr([[0]], 4), np.array([4]), k=2)
    assert metrics.recall.tolist() == [0.25]
    assert metrics.ndcg.tolist() == pytest.approx([1 / (1 + 1 / math.log2(3))])


def test_lists_may_be_empty_or_long_or_name_unknown_items() -> None:
    relevant = _csr([[3], [3], [0]], 4)
    metrics = rank_metrics([np.empty(0, np.int64), np.array([0, 1, 3]), np.array([-1, 0])], relevant, k=2)
    assert metrics.recall.tolist() == [0.0, 0.0, 1.0]
    assert metrics.ndcg[2] == pytest.approx(1 / math.log2(3))


def test_validation_ranks_all_items_but_the_masked_for_users_with_relevant_items() -> None:
    masked, relevant = _csr([[0], [1], [2]], 4), _csr([[1], [], [0, 3]], 4)
    validation = Validation(masked, relevant, max_users=None, seed=0, k=1)
    assert validation.users.tolist() == [0, 2]
    items = np.array([[9.0], [5.0], [8.0], [1.0]], np.float32)
    metrics = validation.score(np.ones((3, 1), np.float32), items)
    # User 0 may not get item 0 and gets item 2, a miss; user 2 gets item 0, one of two.
    assert metrics.recall.tolist() == [0.0, 0.5]
    assert metrics.ndcg.tolist() == [0.0, 1.0]


def test_ties_go_to_the_lower_row_as_in_serving() -> None:
    validation = Validation(_csr([[]], 5), _csr([[1]], 5), max_users=None, seed=0, k=2)
    assert validation.score_with(lambda rows: np.zeros((len(rows), 5), np.float32)).recall.tolist() == [1.0]


def test_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    masked = sp.csr_matrix((rng.random((40, 30)) < 0.1).astype(np.float32))
    relevant = sp.csr_matrix(((rng.random((40, 30)) < 0.1) & (masked.toarray() == 0)).astype(np.float32))
    users, items = (rng.normal(size=(n, 4)).astype(np.float32) for n in (40, 30))
    validation = Validation(masked, relevant, max_users=None, seed=0)
    whole = validation.score(users, items)
    monkeypatch.setattr("gnas_search.evaluate._BLOCK_SCORES", 30 * 7)
    blocks = validation.score(users, items)
    np.testing.assert_array_equal(whole.ndcg, blocks.ndcg)
    expected = [
        len(
            set(np.argsort(-np.where(masked[u].toarray()[0], -np.inf, users[u] @ items.T))[:20])
            & set(relevant[u].indices)
        )
        / relevant[u].nnz
        for u in validation.users
    ]
    np.testing.assert_allclose(whole.recall, expected)


def test_a_sample_of_users_depends_on_the_seed_alone() -> None:
    relevant = _csr([[0]] * 50, 2)
    masked = _csr([[]] * 50, 2)
    sample = [Validation(masked, relevant, max_users=10, seed=seed).users.tolist() for seed in (1, 1, 2)]
    assert sample[0] == sample[1] != sample[2]
    assert len(set(sample[0])) == 10
    assert sample[0] == sorted(sample[0])


def test_no_user_to_validate_on_is_a_data_error() -> None:
    with pytest.raises(DataError, match="validation"):
        Validation(_csr([[0]], 2), _csr([[]], 2), max_users=None, seed=0)


def test_fresh_users_are_those_that_selected_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    positives = sp.csr_matrix((rng.random((300, 20)) < 0.3).astype(np.float32))
    valid = sp.csr_matrix(((rng.random((300, 20)) < 0.2) & (positives.toarray() == 0)).astype(np.float32))
    graph = InteractionGraph(positives, positives)
    dataset = replace(make_dataset(), selection=graph, valid=valid)
    used, every = validation_of(dataset, max_users=100), validation_of(dataset, max_users=None)
    assert fresh_validation(dataset, used) is None  # some 200 are left
    for most, scores, expected in ((50, 0, 50), (1000, 0, 1000), (50, 20 * 80 + 19, 80)):
        monkeypatch.setattr("gnas_search.evaluate.FRESH_USERS", (40, most))
        monkeypatch.setattr("gnas_search.evaluate.FRESH_SCORES", scores)
        fresh = fresh_validation(dataset, used)
        assert fresh is not None
        assert not set(fresh.users) & set(used.users)
        assert set(fresh.users) <= set(every.users)
        assert len(fresh.users) == min(expected, len(every.users) - 100)
        again = fresh_validation(dataset, used)
        assert again is not None
        np.testing.assert_array_equal(again.users, fresh.users)
        # They are measured by their own held-out items.
        items = np.eye(20, dtype=np.float32)
        places = np.flatnonzero(np.isin(every.users, fresh.users))
        theirs = every.score(positives.toarray(), items).ndcg[places]
        np.testing.assert_array_equal(fresh.score(positives.toarray(), items).ndcg, theirs)
