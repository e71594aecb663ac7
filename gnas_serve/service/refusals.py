"""Refusals: what a caller is told of a request that does not hold the rules, under our stable codes."""

from __future__ import annotations

from pydantic import ValidationError

from gnas_serve.plain_text import plain_text
from gnas_serve.service.errors import InvalidFieldError
from gnas_serve.service.told_values import TOLD_VALUE
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

_SHOWN_CHARACTERS = 40
_MAX_REPORTED = 1000
# By pydantic's name of what is wrong: our stable code and what is said.
_REFUSALS = {
    "extra_forbidden": ("unknown_field", "there is no such field"),
    "json_invalid": ("invalid_json", "the body is not JSON: {reason}"),
    "missing": ("missing_field", "this field is needed"),
    "too_long": ("list_too_long", "more than {limit} entries"),
    "too_short": ("list_too_short", "at least one entry is needed"),
}
_UNION_MEMBERS = {"constrained-int", "constrained-str", "int", "str"}
_ID_EXPECTED = f"expected a 64-bit integer or a text of 1 to {MAX_ID_CHARACTERS} characters"


def refusal(error: ValidationError) -> InvalidFieldError:
    """Describe what is wrong first in a request, by its field."""
    if error.error_count() > _MAX_REPORTED:
        # Every report costs microseconds: a body of nothing but unknown fields is not looked at one by one.
        return InvalidFieldError(f"{error.error_count()} fields are unknown or wrong", field="", code="invalid_field")
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    is_feature = first["type"] == TOLD_VALUE  # its name is the caller's, perhaps "int" or "k"
    is_id = bool(parts) and parts[-1] in _UNION_MEMBERS and not is_feature
    field = ".".join(_plain(part) for part in (parts[:-1] if is_id else parts))
    found = "" if isinstance(first["input"], (dict, list, tuple)) else f", found {_described(first['input'])}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    kind, name = first["type"], parts[-1] if parts and not is_feature else ""
    if kind in _REFUSALS:
        code, text = _REFUSALS[kind]
        limit = first.get("ctx", {}).get("max_length")
        return InvalidFieldError(text.format(limit=limit, reason=message), field=field, code=code)
    if is_id:
        # A union reports once per member: the caller knows of one field that takes an id.
        return InvalidFieldError(_ID_EXPECTED + found, field=field, code="invalid_id")
    return InvalidFieldError(message + found, field=field, code="invalid_k" if name == "k" else "invalid_field")


def _described(value: object) -> str:
    # repr() of an integer of some thousand digits raises.
    return "a huge number" if isinstance(value, int) and value.bit_length() > 128 else _plain(repr(value))


def _plain(text: str) -> str:
    # What a caller sent reaches headers and logs: ASCII without control characters, and not much of it.
    shown = plain_text(text[: _SHOWN_CHARACTERS + 1]).encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."
