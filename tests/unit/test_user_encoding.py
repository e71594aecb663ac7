"""Users' features as the ranker reads them: a newcomer's row is that of a known user who says the same."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attribute_tables import attributes_of

from gnas_export.ranker.user_encoding import user_encodings
from gnas_search.data.attributes import encode_attributes
from gnas_search.data.features import read_features
from gnas_search.data.interactions import FeatureTable
from gnas_search.data.tables import Table
from gnas_serve.artifact.encoding_facts import NumberEncoding, WordsEncoding, feature_encodings
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.told_values import Features
from gnas_serve.runtime.user_encoding import UserEncoder
from gnas_serve.vocabulary import Vocabulary

COUNT = 240


def values(rng: random.Random) -> dict[str, list[Any]]:
    def some(draw: Any) -> list[Any]:
        return [None if rng.random() < 0.1 else draw() for _ in range(COUNT)]

    return {
        "age": some(lambda: rng.randrange(18, 90)),
        "since": some(lambda: 1.6e9 + rng.randrange(10**7)),
        "member": some(lambda: rng.random() < 0.4),
        "region": some(lambda: rng.choice(["north", "south", "a|b", "straße", "7"])),
        # Too many as a whole, few words: told apart by word, and shared by some users each.
        "likes": some(lambda: "|".join(rng.sample([f"w{n}" for n in range(10)], 2))),
        "everybody": ["same"] * COUNT,
        "mail": [f"{row}@example.org" for row in range(COUNT)],
    }


def read(columns: dict[str, list[Any]]) -> tuple[FeatureTable, Attributes]:
    frame = pl.DataFrame({"user_id": range(COUNT), **columns})
    ids = Vocabulary.from_ids(range(COUNT))
    side = read_features(Table(Path("users.parquet"), frame, typed=True), "user_id", ids, "auto", of_items=False)
    assert side.features is not None
    assert side.attributes is not None
    attributes, _ = encode_attributes(side.attributes, "users")
    assert attributes is not None
    return side.features, attributes


def said(columns: dict[str, list[Any]], names: set[str], row: int) -> Features:
    return tuple((name, columns[name][row]) for name in sorted(names))


@pytest.mark.parametrize("seed", range(3))
def test_a_newcomer_has_the_row_of_a_user_who_says_the_same(seed: int) -> None:
    columns = values(random.Random(seed))
    features, attributes = read(columns)
    encodings = user_encodings(features, attributes)
    names = {encoding.name for encoding in encodings}
    assert names == {"age", "since", "member", "region", "likes"}
    assert {one.name: one.delimiter for one in encodings if isinstance(one, WordsEncoding)} == {
        "region": None,
        "likes": "|",
    }
    encoder = UserEncoder(encodings, features.values.shape[1])
    for row in range(COUNT):
        made = encoder.row(said(columns, names, row))
        assert made is not None
        np.testing.assert_allclose(made, features.values[row], atol=2e-5)
    as_text = encoder.row((("age", "41"), ("member", "true"), ("region", 7), ("likes", " w3 |w1|w99")))
    plain = encoder.row((("region", "7"), ("likes", "w1|w3"), ("member", True), ("age", 41.0)))
    np.testing.assert_array_equal(as_text, plain)


def test_what_is_unknown_is_zero_and_what_is_beyond_is_the_end() -> None:
    columns = values(random.Random(5))
    features, attributes = read(columns)
    encoder = UserEncoder(user_encodings(features, attributes), features.values.shape[1])
    nothing = encoder.row((("age", "old"), ("region", "east"), ("likes", None), ("mail", "a@b"), ("shoe", 3)))
    assert nothing is not None
    assert not nothing.any()
    ages = [age for age in columns["age"] if age is not None]
    for beyond, end in ((-1e300, min(ages)), (10**400, None), (1e300, max(ages)), (float("nan"), None)):
        expected = nothing if end is None else encoder.row((("age", end),))
        np.testing.assert_array_equal(encoder.row((("age", beyond),)), expected)
    assert encoder.row(()) is None
    assert UserEncoder((), 0).row((("age", 3),)) is None


def test_a_few_who_say_something_else_since_do_not_matter_many_do() -> None:
    columns = values(random.Random(7))
    features, attributes = read(columns)
    before = {one.name: one for one in user_encodings(features, attributes)}
    for share, names in ((0.04, {"age", "since", "member", "region", "likes"}), (0.5, {"since", "member", "likes"})):
        rng = random.Random(1)
        newer = {**columns, "age": list(columns["age"]), "region": list(columns["region"])}
        for row in rng.sample(range(COUNT), int(COUNT * share)):
            newer["age"][row], newer["region"][row] = rng.randrange(18, 90), "moon"
        after = {one.name: one for one in user_encodings(features, read(newer)[1])}
        assert set(after) == names
        if "age" in after:
            old, new = before["age"], after["age"]
            assert isinstance(old, NumberEncoding)
            assert isinstance(new, NumberEncoding)
            assert new.slope == pytest.approx(old.slope, rel=1e-5)


def test_columns_of_two_names_are_nobodys() -> None:
    texts = ["b=c", "d"] * (COUNT // 2)
    attributes = attributes_of({"a": texts, "a=b": ["c" if text == "b=c" else "e" for text in texts]})
    columns = np.array([[text == "b=c", text == "d"] for text in texts], np.float32)
    told = FeatureTable(("a=b=c", "a=d"), columns)
    assert user_encodings(told, attributes) == ()
    alone = replace(attributes, columns={"a": attributes.columns["a"]})
    assert [encoding.name for encoding in user_encodings(told, alone)] == ["a"]


def test_without_features_or_attributes_there_is_nothing() -> None:
    features, attributes = read(values(random.Random(0)))
    assert user_encodings(None, attributes) == ()
    assert user_encodings(features, None) == ()


NUMBER = {"name": "age", "kind": "number", "column": 0, "low": 1.0, "high": 2.0, "first": -1.0, "last": 1.0}
WORDS = {"name": "region", "kind": "words", "delimiter": None, "words": ["a", "b"], "columns": [1, 2]}


def test_the_manifest_says_them_and_reads_them_again() -> None:
    found = feature_encodings(json.loads(json.dumps([NUMBER, WORDS])))
    assert [one.to_json() for one in found] == [NUMBER, WORDS]


@pytest.mark.parametrize(
    "raw",
    [
        [NUMBER, NUMBER],
        [NUMBER, WORDS | {"columns": [0, 2]}],
        [NUMBER | {"kind": "list"}],
        [NUMBER | {"name": 3}],
        [NUMBER | {"column": -1}],
        [NUMBER | {"column": True}],
        [NUMBER | {"low": 3.0}],
        [NUMBER | {"low": True}],
        [NUMBER | {"high": 10**400}],
        [NUMBER | {"last": 1e39}],
        [WORDS | {"columns": [1]}],
        [WORDS | {"words": ["a", "a"]}],
        [WORDS | {"words": ["a", 3]}],
        [WORDS | {"delimiter": ""}],
        [WORDS | {"delimiter": 3}],
        [{}],
        [3],
        3,
    ],
)
def test_a_garbled_one_is_refused(raw: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        feature_encodings(raw)


def test_a_column_that_the_ranker_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="'region' is in a column"):
        UserEncoder(feature_encodings([NUMBER, WORDS]), 2)
