"""Every ranking metric by hand, at its edges, and against an independent library."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnas_search.metrics import METRICS, ranked

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the library scripts some classes at import
    from torch_geometric.metrics import (
        LinkPredF1,
        LinkPredHitRatio,
        LinkPredMAP,
        LinkPredMRR,
        LinkPredNDCG,
        LinkPredPrecision,
        LinkPredRecall,
    )

LIBRARY = {
    "recall": LinkPredRecall,
    "ndcg": LinkPredNDCG,
    "precision": LinkPredPrecision,
    "f1": LinkPredF1,
    "map": LinkPredMAP,
    "mrr": LinkPredMRR,
    "hit_rate": LinkPredHitRatio,
}


def _csr(rows: list[list[int]], num_items: int) -> sp.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([item for row in rows for item in sorted(row)], dtype=np.int32)
    return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(rows), num_items))


def test_by_hand() -> None:
    # Hits at ranks 2 and 3 of 4 relevant items; none; one of one, in a list shorter than k.
    top = [np.array([5, 1, 2, 7]), np.array([0, 1, 2, 3]), np.array([6])]
    found = ranked(top, _csr([[1, 2, 3, 4], [7], [6]], 8), None, 3)
    expected = {
        "recall": [2 / 4, 0, 1],
        "precision": [2 / 3, 0, 1 / 3],
        "f1": [2 * 2 / (3 + 4), 0, 2 / (3 + 1)],
        "ndcg": [(1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2), 0, 1],
        "mrr": [1 / 2, 0, 1],
        "map": [(1 / 2 + 2 / 3) / 3, 0, 1],
        "hit_rate": [1, 0, 1],
    }
    assert set(expected) == set(METRICS)
    for name, values in expected.items():
        assert METRICS[name](found).tolist() == pytest.approx(values), name


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.permutations(range(12)), st.sets(st.integers(0, 11))), min_size=1, max_size=8),
)
def test_they_are_those_of_an_independent_library(k: int, users: list[tuple[list[int], set[int]]]) -> None:
    answered = [(best, sorted(wanted)) for best, wanted in users if wanted]
    if not answered:
        return
    found = ranked([np.array(best) for best, _ in answered], _csr([w for _, w in answered], 12), None, k)
    lists = torch.tensor([best for best, _ in answered])[:, :k]
    pairs = torch.tensor([(row, item) for row, (_, wanted) in enumerate(answered) for item in wanted]).T
    assert set(LIBRARY) == set(METRICS)
    for name, kind in LIBRARY.items():
        theirs = kind(k=k)
        theirs.update(lists, pairs)
        assert METRICS[name](found).mean() == pytest.approx(float(theirs.compute()), abs=1e-6), name


def test_items_that_the_data_does_not_know_are_relevant_and_never_hit() -> None:
    found = ranked([np.array([-1, 0])], _csr([[0]], 4), np.array([4]), 2)
    assert found.hits.tolist() == [[False, True]]
    assert METRICS["recall"](found).tolist() == [0.25]
    assert METRICS["map"](found).tolist() == [0.25]
    assert METRICS["ndcg"](found).tolist() == pytest.approx([(1 / math.log2(3)) / (1 + 1 / math.log2(3))])


@pytest.mark.parametrize("counts", [[0, 1], [1, 1], [2]])
def test_impossible_numbers_of_relevant_items_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="num_relevant"):
        ranked([np.array([0]), np.array([0])], _csr([[0], [0, 1]], 3), np.array(counts), 1)


def test_a_list_for_every_user() -> None:
    with pytest.raises(ValueError, match="1 lists for 2 users"):
        ranked([np.array([0])], _csr([[0], [1]], 3), None, 1)
