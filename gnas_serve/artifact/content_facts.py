"""What a manifest says of the content encoder: what it reads of an item that the catalogue does not have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gnas_serve.artifact.kinds import ATTRIBUTE_KINDS, NUMBER
from gnas_serve.artifact.segment_facts import is_number

# Beyond these nothing was ever chosen, and products of them would be no numbers.
_LEAST, _MOST, _MOST_POWER = 1e-6, 1e6, 100


@dataclass(frozen=True)
class ContentColumn:
    """One attribute of the items that the encoder reads.

    Attributes
    ----------
    name
        As in the data.
    kind
        ``"number"``: told apart by how near it is to some numbers; ``"text"``: by its words; ``"words"``: by the texts
        of a list, each as a whole.
    weight
        Of the attribute beside the others, above 0.
    knots
        Of a number: the ascending numbers that it lies between.
    num_words
        Of texts: how many distinct words there are.
    """

    name: str
    kind: str
    weight: float
    knots: tuple[float, ...] = ()
    num_words: int = 0

    @property
    def num_terms(self) -> int:
        """How many things can be told of an item: its knots or words."""
        return len(self.knots) if self.kind == NUMBER else self.num_words

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        told = {"knots": list(self.knots)} if self.kind == NUMBER else {"num_words": self.num_words}
        return {"name": self.name, "kind": self.kind, "weight": self.weight} | told

    @classmethod
    def from_json(cls, raw: Any) -> ContentColumn:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        name, kind, weight = raw["name"], raw["kind"], raw["weight"]
        if not isinstance(name, str):
            raise TypeError(f"name of an attribute that the content encoder reads is no text: {name!r}")
        if kind not in ATTRIBUTE_KINDS:
            raise ValueError(f"content attribute {name!r} is of kind {kind!r}, expected {' or '.join(ATTRIBUTE_KINDS)}")
        if not is_number(weight) or not _LEAST <= weight <= _MOST:
            raise ValueError(f"the weight of content attribute {name!r} is no usable number above 0: {weight!r}")
        if kind == NUMBER:
            knots = raw["knots"]
            ascend = isinstance(knots, list) and all(map(is_number, knots))
            if not ascend or len(knots) < 2 or any(one >= other for one, other in pairwise(knots)):
                raise ValueError(f"the knots of content attribute {name!r} are no two or more ascending numbers")
            return cls(name, kind, float(weight), tuple(map(float, knots)))
        num_words = raw["num_words"]
        if type(num_words) is not int or num_words < 1:
            raise ValueError(f"content attribute {name!r}: num_words is {num_words!r}")
        return cls(name, kind, float(weight), num_words=num_words)


@dataclass(frozen=True)
class ContentFacts:
    """How the score of an item that the catalogue does not have is made of those of the known items it is like.

    Attributes
    ----------
    columns
        What is read of it, in the order of the data.
    neighbours
        On how many known items it leans, those of the greatest cosine.
    power
        Of the cosine, which makes a weight of it.
    prior
        The score of an item of average liking counts beside theirs with this weight.
    own
        An item that the asker has counts as liked by so many standard deviations of the asker's scores more.
    metrics
        Measured at export on items that are left out of what an item may lean on, and of what users are known by where
        the model folds in: ``"ndcg@20"``, the same of the orders by popularity as told by the attributes and by chance
        (``"popularity_ndcg@20"``, ``"random_ndcg@20"``), how many ``"users"`` and ``"items"`` that was, and the mean
        ``"list_length"``. The model that is judged was trained with these items, and so were its vectors, links and
        maps of the others; the knots of numbers and the words are those of all items.
    kept_from
        The version of the artifact whose encoder it is, and whose metrics these are, where too few users could judge
        one; empty where it was judged itself.
    """

    columns: tuple[ContentColumn, ...]
    neighbours: int
    power: float
    prior: float
    own: float
    metrics: dict[str, float]
    kept_from: str = ""

    @property
    def num_terms(self) -> int:
        """Of all attributes."""
        return sum(column.num_terms for column in self.columns)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON of it."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "neighbours": self.neighbours,
            "power": self.power,
            "prior": self.prior,
            "own": self.own,
            "metrics": self.metrics,
        } | ({"kept_from": self.kept_from} if self.kept_from else {})

    @classmethod
    def from_json(cls, raw: Any) -> ContentFacts:
        """Read and check what :meth:`to_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is not that.
        """
        columns = tuple(ContentColumn.from_json(one) for one in raw["columns"])
        if not columns or len({column.name for column in columns}) < len(columns):
            raise ValueError("the content encoder reads no attribute, or one twice")
        neighbours, metrics = raw["neighbours"], raw["metrics"]
        if type(neighbours) is not int or not 1 <= neighbours <= _MOST:
            raise ValueError(f"neighbours of the content encoder are no number from 1 on: {neighbours!r}")
        if not is_number(raw["power"]) or not _LEAST <= raw["power"] <= _MOST_POWER:
            raise ValueError(f"power of the content encoder is no number above 0: {raw['power']!r}")
        for name in ("prior", "own"):
            if not is_number(raw[name]) or not 0 <= raw[name] <= _MOST:
                raise ValueError(f"{name} of the content encoder is no number from 0 on: {raw[name]!r}")
        if not isinstance(metrics, dict) or not all(isinstance(k, str) and is_number(v) for k, v in metrics.items()):
            raise ValueError("metrics of the content encoder are no numbers by name")
        kept_from = raw.get("kept_from", "")
        if not isinstance(kept_from, str):
            raise TypeError(f"kept_from of the content encoder is no text: {kept_from!r}")
        numbers = {name: float(raw[name]) for name in ("power", "prior", "own")}
        return cls(columns, neighbours, metrics=dict(metrics), kept_from=kept_from, **numbers)
