"""What a question may tell of items that the catalogue does not have: attributes by name, by the id of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gnas_serve.runtime.query import MAX_FEATURES, MAX_UNSEEN_ITEMS, ItemFeatures
from gnas_serve.runtime.told_values import ItemValue
from gnas_serve.service.user_features import MAX_CHARACTERS, USER_FEATURE, checked_number
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

MAX_TEXT_CHARACTERS = 2000
"""Of a value that is one text."""
MAX_TEXTS = 100
"""Of a value that is a list of texts, each as long as a name may be."""


def _checked(value: Any) -> ItemValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS:
        return value
    if isinstance(value, list | tuple) and len(value) <= MAX_TEXTS:
        texts = tuple(value)
        if all(isinstance(text, str) and len(text) <= MAX_CHARACTERS for text in texts):
            return texts
    if isinstance(value, int | float) and (number := checked_number(value)) is not None:
        return number
    raise PydanticCustomError(
        USER_FEATURE,
        f"expected a text of at most {MAX_TEXT_CHARACTERS} characters, a list of at most {MAX_TEXTS} texts of at most "
        f"{MAX_CHARACTERS}, a number, true, false or null",
    )


_Value = Annotated[
    Any,
    PlainValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_TEXT_CHARACTERS},
                {"type": "array", "items": {"type": "string", "maxLength": MAX_CHARACTERS}, "maxItems": MAX_TEXTS},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]
_Name = Annotated[str, Field(max_length=MAX_CHARACTERS)]
_ItemId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
_Attributes = Annotated[dict[_Name, _Value], Field(max_length=MAX_FEATURES)]
# Absent, and not an empty object, which would be copied for every question that tells of none.
UnseenItems = Annotated[dict[_ItemId, _Attributes] | None, Field(max_length=MAX_UNSEEN_ITEMS)]


def told_of(items: Mapping[str, Mapping[str, ItemValue]] | None) -> ItemFeatures:
    """Give what is told of items as the runtime takes it."""
    return tuple((item_id, tuple(told.items())) for item_id, told in items.items()) if items else ()
