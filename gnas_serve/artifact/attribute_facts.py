"""What a manifest says of one attribute of the items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnas_serve.artifact.kinds import ATTRIBUTE_KINDS, NUMBER


@dataclass(frozen=True)
class AttributeFacts:
    """One column of attributes, by which answers can be filtered.

    Attributes
    ----------
    name
        As in the data.
    kind
        ``"number"`` (times are seconds since 1970, yes and no are 1 and 0), ``"text"``, or ``"words"``: a list of
        texts per item.
    num_words
        How many distinct texts the column has; 0 of numbers.
    """

    name: str
    kind: str
    num_words: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        return {"name": self.name, "kind": self.kind, "num_words": self.num_words}

    @classmethod
    def from_json(cls, raw: Any) -> AttributeFacts:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        name, kind, num_words = raw["name"], raw["kind"], raw["num_words"]
        if not isinstance(name, str):
            raise TypeError(f"name of an attribute is no text: {name!r}")
        if kind not in ATTRIBUTE_KINDS:
            raise ValueError(f"attribute {name!r} is of kind {kind!r}, expected {' or '.join(ATTRIBUTE_KINDS)}")
        if type(num_words) is not int or num_words < 0 or (kind == NUMBER and num_words):
            raise ValueError(f"attribute {name!r}: num_words is {num_words!r}")
        return cls(name, kind, num_words)


def attribute_facts(raw: Any) -> tuple[AttributeFacts, ...]:
    """Read the attributes of a manifest, in their order.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are none, or two have one name.
    """
    if not isinstance(raw, list):
        raise TypeError(f"attributes are no list: {raw!r}")
    facts = tuple(AttributeFacts.from_json(one) for one in raw)
    names = [one.name for one in facts]
    if len(set(names)) < len(names):
        raise ValueError("two attributes have one name")
    return facts
