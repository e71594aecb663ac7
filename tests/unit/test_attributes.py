"""Attributes as they are stored: what was laid out comes back, and what was altered is refused."""

import random

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table

from gnas_serve.artifact.attribute_facts import AttributeFacts, attribute_facts
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.attribute_columns import NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.filters import Filters
from gnas_serve.vocabulary import Vocabulary

_COLUMNS = {
    "price": [1.5, None, 3],
    "category": ["bag", "größe", None],
    "tags": [["a", "b"], [], None],
    "more": [["zz"], ["a", None], ["a", "zz"]],
    "title": ["x", "y", "z"],
    "stock": [True, False, None],
}


def _write(folder, attributes):
    arrays = attributes.arrays()
    for name, file in attributes.files(attributes.facts()).items():
        np.save(folder / file, arrays[name])
    return attributes.facts()


@pytest.mark.parametrize("names", [[*_COLUMNS], ["price"], ["category"], ["tags", "more"], ["price", "stock"]])
def test_what_was_written_is_read(tmp_path, names):
    attributes = attributes_of({name: _COLUMNS[name] for name in names})
    facts = _write(tmp_path, attributes)
    assert attribute_facts([fact.to_json() for fact in facts]) == facts
    found = Attributes.open(tmp_path, facts, 3)
    found.check_content()
    assert found.names == tuple(names)
    assert found.facts() == facts
    _assert_equal(found.arrays(), attributes.arrays())


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], strict=True)


def test_random_tables_filter_alike_from_a_folder(tmp_path):
    for seed in range(5):
        attributes = attributes_of(random_table(random.Random(seed), 50))
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = Attributes.open(folder, _write(folder, attributes), 50)
        found.check_content()
        for expression in ("price > 1", "category == 'bag'", "not tags has 'a'", "tags is null"):
            one, other = (Filters(each, 50).select(expression).rows for each in (attributes, found))
            np.testing.assert_array_equal(one, other)


def test_columns_that_know_nothing(tmp_path):
    no_words = Vocabulary(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    attributes = Attributes(
        {
            "text": TextColumn(np.array([-1, -1], np.int32), no_words),
            "words": WordsColumn(np.zeros(3, np.int64), np.zeros(0, np.int32), no_words),
            "number": NumberColumn(np.array([np.nan, np.nan])),
        },
        2,
    )
    found = Attributes.open(tmp_path, _write(tmp_path, attributes), 2)
    found.check_content()
    filters = Filters(found, 2)
    assert filters.select("text is null and number is null and words is not null").rows.tolist() == [0, 1]
    assert filters.select("text == 'x' or words has 'x' or number == 1").rows.tolist() == []
    assert filters.select("not words has 'x'").rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("numbers", lambda array: array[:, :-1]),
        ("numbers", lambda array: array.astype(np.float32)),
        ("numbers", lambda array: np.full_like(array, np.inf)),
        ("codes", lambda array: array + 9),
        ("codes", lambda array: array - 1),
        ("codes", lambda array: array[:1]),
        ("list_offsets", lambda array: array + 1),
        ("list_offsets", lambda array: np.c_[array[:, :1], array[:, 2:3] + 9, array[:, 2:]]),
        ("list_offsets", lambda array: np.c_[array[:, :-1], array[:, -1:] - 1]),
        ("list_codes", lambda array: array[:-1]),
        ("list_codes", np.zeros_like),
        ("list_codes", lambda array: np.full_like(array, 7)),
        ("word_bytes", lambda array: array[::-1].copy()),
        ("word_bytes", lambda array: np.full_like(array, 0xFF)),
        ("word_bytes", lambda array: np.r_[array, array]),
        ("word_offsets", lambda array: array[:-1]),
        ("word_offsets", np.zeros_like),
    ],
)
def test_what_was_altered_is_refused(tmp_path, name, change):
    attributes = attributes_of(_COLUMNS)
    facts = _write(tmp_path, attributes)
    np.save(tmp_path / attributes.files(facts)[name], change(attributes.arrays()[name]))
    with pytest.raises((ValueError, IntegrityError)):
        Attributes.open(tmp_path, facts, 3).check_content()


def test_a_word_that_begins_within_a_character(tmp_path):
    attributes = attributes_of({"category": ["ä", "b"]})
    facts = _write(tmp_path, attributes)
    path = tmp_path / attributes.files(facts)["word_offsets"]
    offsets = np.load(path)
    assert offsets.tolist() == [0, 1, 3]
    raw = np.load(tmp_path / attributes.files(facts)["word_bytes"])
    np.save(tmp_path / attributes.files(facts)["word_bytes"], raw[[1, 2, 0]])  # "äb", divided within the "ä"
    with pytest.raises(ValueError, match="attribute 'category': a word begins within a character"):
        Attributes.open(tmp_path, facts, 2).check_content()


@pytest.mark.parametrize("name", Attributes.files(attributes_of(_COLUMNS).facts()))
def test_a_missing_file_is_named(tmp_path, name):
    attributes = attributes_of(_COLUMNS)
    facts = _write(tmp_path, attributes)
    file = attributes.files(facts)[name]
    (tmp_path / file).unlink()
    with pytest.raises(IntegrityError, match=file):
        Attributes.open(tmp_path, facts, 3)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        [{}],
        [{"name": 3, "kind": "text", "num_words": 1}],
        [{"name": "x", "kind": "blob", "num_words": 1}],
        [{"name": "x", "kind": "text", "num_words": -1}],
        [{"name": "x", "kind": "number", "num_words": 1}],
        [{"name": "x", "kind": "number", "num_words": 0}] * 2,
    ],
)
def test_facts_that_no_export_writes(raw):
    with pytest.raises((ValueError, KeyError, TypeError)):
        attribute_facts(raw)


def test_facts_are_read_as_they_were_written():
    fact = AttributeFacts("x", "words", 3)
    assert attribute_facts([fact.to_json()]) == (fact,)
