"""Values as they are told: in the types that the data is read in, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gnas_serve.artifact.kinds import NUMBER, TEXT, WORDS
from gnas_serve.errors import FeatureError
from gnas_serve.plain_text import listed
from gnas_serve.runtime.told_values import typed


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (NUMBER, 3, 3.0),
        (NUMBER, "3.25", 3.25),
        (NUMBER, True, 1.0),
        (NUMBER, "False", 0.0),
        (TEXT, "bag", "bag"),
        (TEXT, 3.0, "3"),
        (TEXT, 2.5, "2.5"),
        (TEXT, True, "true"),
        (WORDS, "bag", ("bag",)),
        (WORDS, ("a", ""), ("a", "")),
        (WORDS, (), ()),
        *((kind, value, None) for kind in (NUMBER, TEXT, WORDS) for value in ("", None)),
    ],
)
def test_a_value_is_read_as_the_data_is(kind: str, value: Any, expected: Any) -> None:
    found = typed(kind, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (NUMBER, "cheap", "'cheap'"),
        (NUMBER, "12 EUR", "'12 EUR'"),
        (NUMBER, "\x1b[2J\x9b\u202e", r"'\x1b[2J\x9b\u202e'"),
        (NUMBER, "2024-05-01", "'2024-05-01'"),
        (NUMBER, ("3",), "a list"),
        (NUMBER, float("inf"), "inf"),
        (NUMBER, 10**400, "a huge number"),
        (TEXT, ("bag",), "a list"),
        (TEXT, (), "a list"),
        (WORDS, 3, "3"),
        (WORDS, False, "false"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_place(kind: str, value: Any, found: str) -> None:
    with pytest.raises(FeatureError) as error:
        typed(kind, value, "item_features", "new\x1b-1" + "x" * 99, "price")
    assert error.value.code == "wrong_type"
    start, _, rest = error.value.message.partition(": ")
    assert start == f"item_features.new\\x1b-1{'x' * 34}.price"
    expected = {NUMBER: "a number", TEXT: "a text", WORDS: "a list of texts"}[kind]
    assert rest.startswith(f"expected {expected}")
    assert rest.endswith(f", found {found}")


def test_a_list_of_names_says_how_many_others_there_are() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert listed([]) == ""
