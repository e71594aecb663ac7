"""A user's address, ``/v1/users/{user_id}/recommendations?k=5``: a question asked without a body."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, unquote_to_bytes

from pydantic_core import from_json

from gnas_serve.errors import RequestError

_USERS = b"/v1/users/"
_RECOMMENDATIONS = b"/recommendations"
_LISTS = {"history", "exclude_items", "candidates"}
_OBJECTS = {"user_features", "item_features"}
_WORDS = {"true": True, "false": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def user_in(path: bytes) -> bytes | None:
    """Find the id of the user, percent-encoded, in a path as it came; None where it is no such path."""
    if not (path.startswith(_USERS) and path.endswith(_RECOMMENDATIONS)):
        return None
    user_id = path[len(_USERS) : -len(_RECOMMENDATIONS)]
    return None if b"/" in user_id else user_id


def question_of(path: bytes, query: bytes) -> dict[str, object]:
    """Read a question: the user from the path, the rest from the query, each value in its type.

    Parameters
    ----------
    path, query
        As they came, percent-encoded.

    Raises
    ------
    RequestError
        If they are not UTF-8 when decoded, or something is given twice.
    """
    try:
        user_id = unquote_to_bytes(user_in(path) or b"").decode()
        pairs = parse_qsl(query.decode(), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError as error:  # what cannot be decoded is one, too
        raise RequestError("the address is not percent-encoded UTF-8", code="invalid_address") from error
    fields: dict[str, object] = {"user_id": user_id}
    for name, text in pairs:
        if name in fields:
            raise RequestError(f"{name[:40]!r} is given twice", hint="give each once", code="invalid_address")
        fields[name] = _typed(name, text)
    return fields


def _typed(name: str, text: str) -> object:
    """Read a value as JSON would have it; lists are separated by commas, features are JSON."""
    if name in _LISTS:
        return tuple(text.split(",")) if text else ()
    if name == "filter":
        return text
    if name in _OBJECTS:
        return _object(text)
    if text in _WORDS:
        return _WORDS[text]
    try:
        # What Python reads beyond JSON, "1_0", "+1", "01" or "\u0661", stays text, which the schema refuses.
        return json.loads(text) if _NUMBER.fullmatch(text) else text
    except ValueError:  # more digits than are read
        return text


def _object(text: str) -> object:
    try:
        found: object = from_json(text)  # as bodies are read: half a character is none
    except ValueError:
        return text  # which the schema refuses
    return found
