"""Rows follow ids: users and items of data stand where the model has them, or nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.alignment import Alignment
from gnas_serve.vocabulary import Vocabulary

ITEMS = ["a", "b", "c", "d"]


@pytest.fixture
def alignment() -> Alignment:
    """The data has users 1 and 9 and item "aa" beside those of the model, and lacks its user 5 and its item "c"."""
    data = (Vocabulary.from_ids([1, 2, 4, 9]), Vocabulary.from_ids(["a", "aa", "b", "d"]))
    return Alignment.of(data, (Vocabulary.from_ids([2, 4, 5]), Vocabulary.from_ids(ITEMS)))


def test_rows_are_those_of_equal_ids(alignment: Alignment) -> None:
    assert alignment.users.tolist() == [-1, 0, 1, -1]
    assert alignment.items.tolist() == [0, -1, 1, 3]
    assert alignment.shape == (3, 4)
    assert alignment.user_rows(np.array([2, -1, 0, 1])).tolist() == [1, -1, -1, 0]


def test_interactions_of_strangers_are_left_out(alignment: Alignment) -> None:
    given = sp.csr_matrix(np.array([[1, 1, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0]], dtype=np.float32))
    expected = [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert alignment.matrix(given).toarray().tolist() == expected


def test_unknown_items_come_last(alignment: Alignment) -> None:
    scores = np.array([[3.0, -2.0, -9.0, 1.0], [0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    found = alignment.scores(scores)
    np.testing.assert_array_equal(found[:, [0, 2, 3]], scores[:, [0, 1, 3]])
    assert (found[:, 1] < scores.min(axis=1)).all()
    assert np.isfinite(found).all()


def test_the_same_items_cost_nothing() -> None:
    ids = (Vocabulary.from_ids([1, 2]), Vocabulary.from_ids(ITEMS))
    alignment = Alignment.of(ids, (Vocabulary.from_ids([2, 3, 4]), Vocabulary.from_ids(ITEMS)))
    scores = np.zeros((2, 4), np.float32)
    assert alignment.scores(scores) is scores
    assert not Alignment.of(ids, (ids[0], Vocabulary.from_ids([*ITEMS, "e"]))).same_items


def test_text_is_no_integer() -> None:
    numbers, texts = Vocabulary.from_ids([1, 2]), Vocabulary.from_ids(["1", "2"])
    alignment = Alignment.of((texts, numbers), (numbers, texts))
    assert alignment.users.tolist() == alignment.items.tolist() == [-1, -1]
