"""What a question may tell of items that the catalogue does not have: attributes by name, by the id of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from gnas_serve.runtime.query import MAX_FEATURES, MAX_UNSEEN_ITEMS, ItemFeatures
from gnas_serve.runtime.told_values import ItemValue
from gnas_serve.service.told_values import MAX_CHARACTERS, ToldValue
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

_VALUE = ToldValue(characters=2000, texts=100)
_Value = Annotated[Any, PlainValidator(_VALUE.check), WithJsonSchema(_VALUE.schema())]
_Name = Annotated[str, Field(max_length=MAX_CHARACTERS)]
_ItemId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
_Attributes = Annotated[dict[_Name, _Value], Field(max_length=MAX_FEATURES)]
# Absent, and not an empty object, which would be copied for every question that tells of none.
ItemFeaturesField = Annotated[dict[_ItemId, _Attributes] | None, Field(max_length=MAX_UNSEEN_ITEMS)]


def item_features_of(items: Mapping[str, Mapping[str, ItemValue]] | None) -> ItemFeatures:
    """Give what is told of items as the runtime takes it."""
    return tuple((item_id, tuple(told.items())) for item_id, told in items.items()) if items else ()
