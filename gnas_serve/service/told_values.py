"""One value that a request tells of a user or an item: what any model may take, before one of them is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from gnas_serve.runtime.told_values import ItemValue

TOLD_VALUE = "told_value"
"""Type of the error of a value."""
MAX_CHARACTERS = 256
"""Of a name, of a user's value and of each text of a list."""


@dataclass(frozen=True)
class ToldValue:
    """The rule of a value.

    Attributes
    ----------
    characters
        Of a text, at most.
    texts
        Of a list of texts, at most; 0 where it may be none.
    """

    characters: int
    texts: int = 0

    def check(self, value: Any) -> ItemValue:
        """Check a value: a union of its types would report each of them beside what was wrong."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and len(value) <= self.characters:
            return value
        if isinstance(value, list | tuple) and self.texts and len(value) <= self.texts:
            texts = tuple(value)
            if all(isinstance(text, str) and len(text) <= MAX_CHARACTERS for text in texts):
                return texts
        if isinstance(value, int | float) and (number := _finite(value)) is not None:
            return number
        listed = f"a list of at most {self.texts} texts of at most {MAX_CHARACTERS}, " if self.texts else ""
        raise PydanticCustomError(
            TOLD_VALUE,
            f"expected a text of at most {self.characters} characters, {listed}a number, true, false or null",
        )

    def schema(self) -> dict[str, Any]:
        """Describe it in JSON Schema."""
        texts = {"type": "array", "items": {"type": "string", "maxLength": MAX_CHARACTERS}, "maxItems": self.texts}
        return {
            "anyOf": [
                {"type": "string", "maxLength": self.characters},
                *([texts] if self.texts else []),
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }


def _finite(value: float) -> float | None:
    """Give a number as float64; None where it is none, or beyond it."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
