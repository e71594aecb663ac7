"""BranchFacts: what a model is made of. The score of a pair is the sum over its branches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

COMPRESSED = "compressed"
FILTER = "filter"
POPULARITY = "popularity"
TWO_HOP = "two-hop"
KINDS = (COMPRESSED, FILTER, "gnn", POPULARITY, TWO_HOP)


@dataclass(frozen=True)
class BranchFacts:
    """One summand of a model's scores.

    A ``two-hop`` branch scores by ``n ** -history_power * sum_h neighbours[h]`` over a history of n items h; every
    other by the inner product of its columns of the user's and the item's vector. Weights of a blend are folded into
    the item vectors and neighbours: scores simply add up.

    Attributes
    ----------
    name
        Key of the branch's spec.
    kind
        One of :data:`KINDS`; ``compressed`` is a sum of several in one pair of vectors.
    width
        Columns of the vectors that are its own, the branches' columns following each other; 0 for ``two-hop``.
    unit_length
        Whether its user vectors have length 1, and fold-in vectors are brought to it.
    item_power, history_power
        Of fold-in: each item of a history weighs ``count ** -item_power`` (count: its interactions), and the sum over
        n items is divided by ``n ** history_power``; a linear map makes a user vector of it.
    """

    name: str
    kind: str
    width: int
    unit_length: bool = False
    item_power: float = 0.5
    history_power: float = 0.5

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> BranchFacts:
        """Read the JSON form.

        Raises
        ------
        KeyError, TypeError, ValueError
            If a field is absent, of the wrong type or out of range.
        """
        facts = cls(**raw)
        for name in ("name", "kind"):
            if not isinstance(getattr(facts, name), str):
                raise ValueError(f"branch {name} is no text")  # noqa: TRY004  # bad content, not a programmer's mistake
        if facts.kind not in KINDS:
            raise ValueError(f"branch kind is {facts.kind!r}, expected one of {', '.join(KINDS)}")
        if type(facts.width) is not int or (facts.width > 0) == (facts.kind == TWO_HOP) or facts.width < 0:
            raise ValueError(f"branch width is {facts.width!r}: 0 for two-hop, at least 1 for others")
        if type(facts.unit_length) is not bool:
            raise ValueError("branch unit_length is no boolean")
        for name in ("item_power", "history_power"):
            value = getattr(facts, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= 4.0:
                raise ValueError(f"branch {name} is {value!r}, expected a number within -4..4")
        return facts


def spans(branches: tuple[BranchFacts, ...]) -> tuple[slice, ...]:
    """Give the columns of each branch that has vectors, in order."""
    ends = [0]
    for branch in branches:
        if branch.kind != TWO_HOP:
            ends.append(ends[-1] + branch.width)
    return tuple(slice(start, stop) for start, stop in pairwise(ends))


def personal_spans(branches: tuple[BranchFacts, ...]) -> tuple[slice, ...]:
    """Give the columns in which a user's vector says something of the user.

    A popularity branch has the same constant for everybody: where all other columns are zero, nothing is known.
    """
    wide = [branch for branch in branches if branch.kind != TWO_HOP]
    paired = zip(wide, spans(branches), strict=True)
    return tuple(span for branch, span in paired if branch.kind != POPULARITY)
