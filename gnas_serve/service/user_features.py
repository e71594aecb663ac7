"""What a question may say of a user: features by name, each a text, a number, yes or no, or not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gnas_serve.runtime.query import MAX_FEATURES
from gnas_serve.runtime.told_values import Features, FeatureValue

USER_FEATURE = "user_feature"
"""Type of the error of a value, of a user or an item."""
MAX_CHARACTERS = 256
"""Of a name, and of a value."""


def _checked(value: Any) -> FeatureValue:
    """Check one value: a union of the five types would report each of them beside what was wrong."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= MAX_CHARACTERS:
        return value
    if isinstance(value, int | float) and (number := checked_number(value)) is not None:
        return number
    raise PydanticCustomError(
        USER_FEATURE, f"expected a text of at most {MAX_CHARACTERS} characters, a number, true, false or null"
    )


def checked_number(value: float) -> float | None:
    """Give a number as float64; None where it is none, or beyond it."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


_Value = Annotated[
    Any,
    PlainValidator(_checked),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_CHARACTERS},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]
_Name = Annotated[str, Field(max_length=MAX_CHARACTERS)]
# Absent, and not an empty object, which would be copied for every question that says nothing.
UserFeatures = Annotated[dict[_Name, _Value] | None, Field(max_length=MAX_FEATURES)]


def pairs_of(features: Mapping[str, FeatureValue] | None) -> Features:
    """Give the features as the runtime takes them."""
    return tuple(features.items()) if features else ()
