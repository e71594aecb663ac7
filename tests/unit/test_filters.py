"""The filter language: what it means, held against an evaluation in plain Python, and what it refuses."""

import gc
import random
import time
import weakref

import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from plain_filters import random_tree, text_of, truth

from gnas_serve.errors import RequestError
from gnas_serve.runtime.attribute_columns import NumberColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.filters import CACHE_BYTES, Filters

_SHOP = {
    "price": [10, 20.5, None, 0, 30],
    "in_stock": [True, False, True, None, True],
    "category": ["bags", "shoes", "bags", None, "it's"],
    "tags": [["new", "sale"], [], None, ["sale", None], ["new"]],
    "a.b-c": [1, 2, 3, 4, 5],
    "the name": ["x", "y", "x", "y", "x"],
    "is": [1, 0, 1, 0, 1],
}


@pytest.fixture(scope="module")
def shop():
    return Filters(attributes_of(_SHOP), 5)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("price == 10", [0]),
        ("price != 10", [1, 3, 4]),
        ("price < 20.5", [0, 3]),
        ("price <= 2.05e1", [0, 1, 3]),
        ("price > -.5", [0, 1, 3, 4]),
        ("price>=20", [1, 4]),
        ("price in [10, 30.0, 7]", [0, 4]),
        ("price not in [10, 30.0, 7]", [1, 3]),
        ("price is null", [2]),
        ("price is not null", [0, 1, 3, 4]),
        ("not price is null", [0, 1, 3, 4]),
        ("not price == 10", [1, 3, 4]),
        ("in_stock == true", [0, 2, 4]),
        ("in_stock == 0", [1]),
        ("in_stock in [true, FALSE]", [0, 1, 2, 4]),
        ("category == 'bags'", [0, 2]),
        ('category != "bags"', [1, 4]),
        ('category == "never seen"', []),
        ('category != "never seen"', [0, 1, 2, 4]),
        ("category == 'it\\'s'", [4]),
        ("category in ['bags', \"it's\"]", [0, 2, 4]),
        ("category not in ['bags', 'never seen']", [1, 4]),
        ("category is null", [3]),
        ("tags has 'sale'", [0, 3]),
        ("not tags has 'sale'", [1, 4]),  # of the list of row 2 nothing is known
        ("not tags has 'new'", [1]),  # in the list of row 3 is a word that is not known: it may be this one
        ("tags in ['sale', 'other']", [0, 3]),
        ("tags in ['sale', 'new']", [0, 3, 4]),
        ("tags not in ['never']", [0, 1, 4]),
        ("tags is null", [2]),
        ("tags is not null", [0, 1, 3, 4]),
        ("a.b-c == 3", [2]),
        ("`the name` == 'y'", [1, 3]),
        ("`is` == 1", [0, 2, 4]),
        ("price < 5 or price > 25", [3, 4]),
        ("price > 5 and in_stock == true", [0, 4]),
        ("price == 10 or price == 0 and in_stock == true", [0]),
        ("(price == 10 or price == 20.5) and in_stock == false", [1]),
        ("not (price == 10 and in_stock == false)", [0, 1, 2, 3, 4]),
        ("not (price == 10 or in_stock == false)", [4]),  # of 2 and 3 one side is unknown
        ("NOT price Is NuLL aNd\n\tcategory IN ['shoes']", [1]),
        ("not not price == 10", [0]),
    ],
)
def test_what_passes(shop, expression, rows):
    selection = shop.select(expression)
    assert selection.rows.tolist() == rows
    assert sorted([*selection.rows.tolist(), *selection.others.tolist()]) == [0, 1, 2, 3, 4]
    assert selection.rows.dtype == selection.others.dtype == np.int64


@pytest.mark.parametrize(
    ("expression", "position", "what"),
    [
        ("", 1, "expected the name of an attribute"),
        ("price", 6, "expected one of == !="),
        ("price = 3", 7, "expected ==, found ="),
        ("price == ", 10, "expected a number"),
        ("price == 'x", 10, "no end"),
        ("price == null", 10, "null"),
        ("price == 12abc", 10, "no number"),
        ("price == 1e999", 10, "too large"),
        ("price == 1 and", 15, "expected the name"),
        ("price == 1 category == 'x'", 12, "expected and, or, or the end, found 'category'"),
        ("(price == 1", 12, r"expected and, or, or \)"),
        ("price == 1)", 11, "the end"),
        ("price in []", 11, "expected a number"),
        ("price in [1,, 2]", 13, "expected a number"),
        ("price in [1 2]", 13, r"expected , or \]"),
        ("price in 1", 10, r"expected \["),
        ("price not 1", 11, "expected in"),
        ("price is 1", 10, "expected null"),
        ("tags has 3", 10, "expected a text"),
        ("price == 'ten'", 1, "holds numbers"),
        ("price in [1, 'ten']", 1, "holds numbers"),
        ("price has 'ten'", 1, "one number per item"),
        ("category == 3", 1, "holds texts"),
        ("category == true", 1, "holds texts"),
        ("category < 'x'", 1, "not ordered"),
        ("category has 'x'", 1, "one text per item"),
        ("tags == 'x'", 1, "a list of texts"),
        ("tags in [1]", 1, "holds texts"),
        ("category == 'a\\qb'", 15, "unknown escape"),
        ("category == '\\ud800'", 13, "half a character"),
        ("price == 1; import os", 11, "';' begins no"),
        ("__import__('os')", 11, "expected one of"),
        ("`` == 1", 1, "empty"),
    ],
)
def test_what_is_refused(shop, expression, position, what):
    with pytest.raises(RequestError, match=f"^filter, character {position}: .*{what}") as caught:
        shop.select(expression)
    assert caught.value.code == "invalid_filter"
    assert caught.value.hint


def test_an_unknown_attribute_is_named_with_known_ones(shop):
    with pytest.raises(RequestError, match="character 15: unknown attribute 'prise'") as caught:
        shop.select("price == 1 or prise == 2")
    assert caught.value.code == "unknown_attribute"
    assert caught.value.hint.startswith("did you mean price? known: a.b-c, category, in_stock, `is`, price")


def test_an_artifact_without_attributes():
    for filters in (Filters(None, 5), Filters(Attributes({}, 5), 5)):
        with pytest.raises(RequestError) as caught:
            filters.select("price == 1")
        assert caught.value.code == "no_attributes"


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (" or ".join(["price==1"] * 100), " or ".join(["price==1"] * 101)),
        ("(" * 32 + "price == 1" + ")" * 32, "(" * 33 + "price == 1" + ")" * 33),
        ("not " * 32 + "price == 1", "not " * 33 + "price == 1"),
        ("price == 1".ljust(2000), "price == 1".ljust(2001)),
    ],
)
def test_limits(shop, within, beyond):
    shop.select(within)
    with pytest.raises(RequestError) as caught:
        shop.select(beyond)
    assert caught.value.code == "invalid_filter"


def test_filters_are_freed_with_their_last_user():
    filters = Filters(attributes_of(_SHOP), 5)
    filters.select("price == 10")
    freed = weakref.ref(filters)
    gc.disable()
    try:
        del filters
        assert freed() is None
    finally:
        gc.enable()


def test_what_is_kept_is_bounded_and_cannot_be_written():
    num_items = 1 << 20
    column = NumberColumn(np.arange(num_items, dtype=np.float64))
    filters = Filters(Attributes({"x": column}, num_items), num_items)
    first = filters.select("x == 1")
    assert filters.select("x == 1") is first
    with pytest.raises(ValueError, match="read-only"):
        first.rows[:] = 0
    for value in range(2, 12):
        filters.select(f"x == {value}")
    kept = filters._kept.cache_info().currsize
    assert 0 < kept * (first.rows.nbytes + first.others.nbytes) <= CACHE_BYTES
    assert filters.select("x == 1") is not first


def test_an_error_is_raised_every_time(shop):
    for _ in range(2):
        with pytest.raises(RequestError):
            shop.select("price ==")


def test_random_expressions_against_plain_python():
    rng = random.Random(6)
    passed = refuted = 0
    for turn in range(500):
        if turn % 10 == 0:
            table = random_table(rng, 40)
            filters = Filters(attributes_of(table), 40)
            rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
        tree = random_tree(rng, 3)
        expression = text_of(rng, tree)
        expected = [place for place, row in enumerate(rows) if truth(tree, row) is True]
        assert filters.select(expression).rows.tolist() == expected, expression
        passed += bool(expected)
        refuted += len(expected) < 40
    assert min(passed, refuted) > 200  # expressions that tell items apart


_PIECES = [*"()[],<>=`'\"\\1x", "==", "!=", "<=", ">=", "and", "or", "not", "in", "has", "is", "null", "true"]
_PIECES += ["price", "tags", "category", "-2", ".5", "1e9", "'a'", '"b"']


def _garbage(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(60)).decode("latin-1")
    if kind == 1:
        return rng.randbytes(rng.randrange(60)).decode("utf-8", "surrogateescape")
    if kind == 2:
        return rng.choice(["", " "]).join(rng.choice(_PIECES) for _ in range(rng.randrange(1, 40)))
    text = list("price < 3 and (category in ['bag', \"a\\n\"] or not tags has 'a') and `list price` is not null")
    for _ in range(rng.randrange(1, 5)):
        text[rng.randrange(len(text))] = rng.choice([*"()[]'\"`\\,.=<> \0\ud800", "", "日", "not "])
    return "".join(text)


def test_garbage_is_refused_and_nothing_else_happens():
    rng = random.Random(7)
    filters = Filters(attributes_of(random_table(rng, 30)), 30)
    refused, slowest = [], 0.0
    for _ in range(5000):
        expression = _garbage(rng)
        started = time.thread_time()  # of a busy machine not the wall
        try:
            filters.select(expression)
        except RequestError as error:
            refused.append(error)
        slowest = max(slowest, time.thread_time() - started)
    assert 4000 < len(refused) < 5000  # some of it is an expression
    assert {error.code for error in refused} == {"invalid_filter", "unknown_attribute"}
    assert all(f"{error.message}{error.hint}".isprintable() for error in refused)
    assert slowest < 1.0


@pytest.mark.parametrize("piece", ["(", "not ", "`", "'", "\\", "1", ".", "-", "a", "[", "x in [", '"\\'])
def test_no_long_expression_takes_long(shop, piece):
    started = time.thread_time()  # of a busy machine not the wall
    with pytest.raises(RequestError):
        shop.select(piece * (2000 // len(piece)))
    assert time.thread_time() - started < 2.0
