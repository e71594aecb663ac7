import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.vocabulary import Vocabulary

_integers = st.sets(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40)
_texts = st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=40)


@given(ids=st.one_of(_integers, _texts))
def test_every_id_has_its_row_and_every_row_its_id(ids):
    vocabulary = Vocabulary.from_ids(ids)
    assert len(vocabulary) == len(ids)
    assert {vocabulary.id(row) for row in range(len(vocabulary))} == ids
    for key in ids:
        assert vocabulary.id(vocabulary.row(key)) == key
    assert vocabulary.ids(vocabulary.rows(list(ids))) == list(ids)
    vocabulary.validate()


@given(ids=_texts, other=st.text(max_size=12))
def test_unknown_text_has_no_row(ids, other):
    vocabulary = Vocabulary.from_ids(ids)
    assert (vocabulary.row(other) >= 0) == (other in ids)


@given(ids=_integers, other=st.integers(-(2**70), 2**70))
def test_unknown_integers_have_no_row(ids, other):
    vocabulary = Vocabulary.from_ids(ids)
    assert (vocabulary.row(other) >= 0) == (other in ids)


def test_an_integer_id_is_found_by_its_decimal_text_and_no_other_text():
    vocabulary = Vocabulary.from_ids([7, 12, -3])
    assert vocabulary.row("12") == vocabulary.row(12)
    assert vocabulary.row("-3") == 0
    for text in ("012", " 12", "12 ", "1_2", "+12", "12.0", "", "x", "١٢", "9" * 30):
        assert vocabulary.row(text) == -1, text


def test_a_number_is_no_text_id():
    assert Vocabulary.from_ids(["7", "8"]).row(7) == -1


def test_a_lone_surrogate_is_unknown_rather_than_an_error():
    assert Vocabulary.from_ids(["a"]).row("\ud800") == -1


def test_true_is_not_the_id_one():
    assert Vocabulary.from_ids([0, 1]).row(True) == -1


def test_mixed_ids_are_refused():
    with pytest.raises(TypeError, match="all integers or all text"):
        Vocabulary.from_ids([1, "a"])


def test_array_lookup_agrees_with_single_lookup():
    vocabulary = Vocabulary.from_ids(np.array([5, 1, 9]))
    assert vocabulary.rows(np.array([9, 4, 1, 100])).tolist() == [2, -1, 0, -1]


@pytest.mark.parametrize("ids", [[3, 1, 2], ["b", "a", "ü", ""]])
def test_equal_ids_make_equal_vocabularies_and_unequal_ones_do_not(ids):
    assert Vocabulary.from_ids(ids) == Vocabulary.from_ids(reversed(ids))
    assert Vocabulary.from_ids(ids) != Vocabulary.from_ids(ids[:-1])
    assert Vocabulary.from_ids([1]) != Vocabulary.from_ids(["1"])


def test_validate_refuses_rows_out_of_order():
    with pytest.raises(ValueError, match="ascend"):
        Vocabulary(np.array([2, 1], np.int64)).validate()
    text = Vocabulary.from_ids(["a", "b"])
    with pytest.raises(ValueError, match="ascend"):
        Vocabulary(text.values[::-1].copy(), text.offsets).validate()
