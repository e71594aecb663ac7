"""What schemathesis cannot know of the calls, and what it does not look at by itself; loaded by schemathesis alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemathesis

sys.path.insert(0, str(Path(__file__).parents[1]))
from leaks import leak_of

# Of the artifact that is asked: some of what is drawn is to be known to it.
FILTERS = ("price < 50", 'category == "a" and not tags has "x"', 'price is null or category in ["a", "b"]')
FEATURES = {"region": "text", "age": "number", "member": "number", "nickname": "text"}
ATTRIBUTES = {"price": "number", "category": "text", "tags": "words"}
KNOWN: dict[str, Callable[[int], Any]] = {
    "user_id": lambda drawn: 1000 + drawn % 60,
    "item_id": lambda drawn: 2000 + drawn % 80,
    "artifact": lambda drawn: ("one", "two")[drawn % 2],
    "stable": lambda drawn: ("one", "two")[drawn % 2],
    "shadow": lambda drawn: ("one", "two", None)[drawn % 3],
}
# An unknown name of a feature is refused, a value of another type, and an item that there is.
NAMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "user_features": lambda told: typed(FEATURES, told),
    "item_features": lambda told: {f"new-{place}": typed(ATTRIBUTES, one) for place, one in enumerate(told.values())},
}


def typed(kinds: dict[str, str], told: dict[str, Any]) -> dict[str, Any]:
    """Tell the same under names that there are, each value in the type that belongs there."""
    return {name: as_kind(kind, value) for (name, kind), value in zip(kinds.items(), told.values(), strict=False)}


def as_kind(kind: str, value: Any) -> Any:
    if kind == "number":
        return len(value) if isinstance(value, str | list) else value
    if kind == "text":
        return "b" if isinstance(value, list) else value
    return value if value is None or isinstance(value, str | list) else ["x"]


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Make of a question that holds the schema one that the server can answer."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    drawn = len(repr(case.body)) + len(repr(case.query))
    case.body = mended(case.body, drawn)
    if case.query:
        case.query = mended(case.query, drawn)
        if case.query.get("explain") in {True, "true"} and "k" in case.query:
            case.query["k"] = min(int(case.query["k"]), 100)


def mended(value: Any, drawn: int, name: str = "") -> Any:
    """Take values that the schema has no words for: a language, names of features, and 10.0 is no 10 to the server."""
    if name in NAMED and isinstance(value, dict):
        return NAMED[name](value)
    if isinstance(value, dict):
        fields = {key: mended(one, drawn, key) for key, one in value.items()}
        if "item_id" in fields and fields.get("item_features"):  # which is to be of that item, and say something
            fields["item_features"] = {str(fields["item_id"]): {**fields["item_features"]["new-0"], "price": 3}}
        return fields
    if isinstance(value, list):
        return [mended(one, drawn + place) for place, one in enumerate(value)]
    if name == "filter" and isinstance(value, str):
        return FILTERS[drawn % len(FILTERS)]
    if name in KNOWN and value is not None and drawn % 2:
        return KNOWN[name](drawn // 2)
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.check
def tells_nothing_internal(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Hold every refusal against the list of what it must not tell, and every answer to have an id of its request."""
    if response.status_code >= 400 and (leak := leak_of(response.text)):
        raise AssertionError(f"the answer tells of {leak!r}")
    if case.operation.path.startswith("/v1/") and "x-request-id" not in response.headers and response.status_code < 400:
        raise AssertionError("an answer without the id of its request")
