"""What a manifest says of the features by which newcomers are put into segments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gnas_serve.artifact.kinds import NUMBER, TEXT

BINS = "bins"
FEATURE_KINDS = (TEXT, NUMBER, BINS)


@dataclass(frozen=True)
class UserFeature:
    """One attribute of the users, and the segments that it makes.

    Attributes
    ----------
    name
        As in the data.
    kind
        ``"text"`` and ``"number"``: a segment per value; ``"bins"``: one per range of numbers. Times are seconds since
        1970, yes and no are 1 and 0.
    values
        Ascending. Of ranges where the second, third, ... begin. None where the feature moves no answer: it is known,
        and passed over.
    """

    name: str
    kind: str
    values: tuple[str, ...] | tuple[float, ...] = ()

    @property
    def num_segments(self) -> int:
        """How many segments it makes."""
        return len(self.values) + (self.kind == BINS and bool(self.values))

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        return {"name": self.name, "kind": self.kind, "values": list(self.values)}

    @classmethod
    def from_json(cls, raw: Any) -> UserFeature:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        name, kind, values = raw["name"], raw["kind"], raw["values"]
        if not isinstance(name, str):
            raise TypeError(f"name of a user feature is no text: {name!r}")
        if kind not in FEATURE_KINDS:
            raise ValueError(f"user feature {name!r} is of kind {kind!r}, expected {' or '.join(FEATURE_KINDS)}")
        if not isinstance(values, list) or not all(_is_value(value, kind) for value in values):
            raise ValueError(f"user feature {name!r} has values that are none of kind {kind!r}")
        found = tuple(values) if kind == TEXT else tuple(map(float, values))
        if any(one >= other for one, other in pairwise(found)):
            raise ValueError(f"the values of user feature {name!r} do not ascend")
        return cls(name, kind, found)


@dataclass(frozen=True)
class SegmentFacts:
    """How popularity is made that of a newcomer's segments.

    Attributes
    ----------
    features
        In the order of the data; the segments of the first come first.
    prior
        So many interactions of everybody are mixed to those of a segment: of few it says little.
    weight
        Of what the segments say, beside popularity.
    """

    features: tuple[UserFeature, ...]
    prior: float
    weight: float

    @property
    def num_segments(self) -> int:
        """Of all features; 0 where none moves an answer."""
        return sum(feature.num_segments for feature in self.features)

    @property
    def moving(self) -> tuple[UserFeature, ...]:
        """The features that move answers."""
        return tuple(feature for feature in self.features if feature.values)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        features = [feature.to_json() for feature in self.features]
        return {"features": features, "prior": self.prior, "weight": self.weight}

    @classmethod
    def from_json(cls, raw: Any) -> SegmentFacts:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        features = tuple(UserFeature.from_json(one) for one in raw["features"])
        if len({feature.name for feature in features}) < len(features):
            raise ValueError("two user features have one name")
        for name in ("prior", "weight"):
            if not is_number(raw[name]) or raw[name] <= 0:
                raise ValueError(f"{name} of the segments is no number above 0: {raw[name]!r}")
        return cls(features, float(raw["prior"]), float(raw["weight"]))


def _is_value(value: object, kind: str) -> bool:
    return isinstance(value, str) if kind == TEXT else is_number(value)


def is_number(value: object) -> bool:
    """Tell whether JSON gave a finite number: neither a truth nor a whole number beyond float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
