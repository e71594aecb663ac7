"""What a question may tell of a user: features by name, each a text, a number, yes or no, or not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from gnas_serve.runtime.query import MAX_FEATURES
from gnas_serve.runtime.told_values import Features, FeatureValue
from gnas_serve.service.told_values import MAX_CHARACTERS, ToldValue

_VALUE = ToldValue(characters=MAX_CHARACTERS)
_Value = Annotated[Any, PlainValidator(_VALUE.check), WithJsonSchema(_VALUE.schema())]
_Name = Annotated[str, Field(max_length=MAX_CHARACTERS)]
# Absent, and not an empty object, which would be copied for every question that says nothing.
UserFeaturesField = Annotated[dict[_Name, _Value] | None, Field(max_length=MAX_FEATURES)]


def pairs_of(features: Mapping[str, FeatureValue] | None) -> Features:
    """Give the features as the runtime takes them."""
    return tuple(features.items()) if features else ()
