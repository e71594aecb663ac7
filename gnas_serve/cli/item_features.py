"""A file of items that a catalogue does not have, as a question at the HTTP door tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gnas_serve.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from gnas_serve.runtime.query import ItemFeatures

_EXPECTED = 'expected {"new-1": {"category": "shoes", "price": 30}}'


def told_in(path: Path) -> ItemFeatures:
    """Read a JSON file of attributes by name by item id, under the rules of the doors.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds something else.
    """
    from pydantic_core import from_json

    from gnas_serve.service.item_features import item_features_of
    from gnas_serve.service.schemas import RecommendRequest, from_mapping

    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # as some editors begin a file
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="give a JSON file of items by id") from error
    try:
        told = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}", hint=_EXPECTED) from error
    if not isinstance(told, dict):
        raise ConfigError(f"{path}: is no JSON object", hint=_EXPECTED)
    try:
        return item_features_of(from_mapping(RecommendRequest, {"item_features": told}).item_features)
    except RequestError as error:
        raise ConfigError(f"{path}: {error.message}", hint=_EXPECTED) from error
