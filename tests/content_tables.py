"""Content encoders of tiny artifacts, and what they are to answer, computed by counting words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gnas_export.retrieval.content import ContentTerms
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.content_table import ContentTable

WEIGHTS = (1.0, 0.5, 2.0)
NUMBERS: dict[str, Any] = {"neighbours": 6, "power": 2.0, "prior": 0.3, "own": 1.5}
METRICS = {"ndcg@20": 0.25, "popularity_ndcg@20": 0.125, "random_ndcg@20": 0.0625, "users": 50.0, "items": 80.0}


def encoder_of(
    attributes: Attributes, counts: np.ndarray, weights: Sequence[float] = WEIGHTS, **numbers: Any
) -> tuple[ContentFacts, ContentTable]:
    """Read attributes of items, those that somebody has, with weights that repeat."""
    terms = ContentTerms.of(attributes)
    read = terms.weighted([weights[place % len(weights)] for place in range(len(terms.columns))])
    facts = ContentFacts(read.columns, **{**NUMBERS, **numbers}, metrics=METRICS)
    return facts, read.table(np.flatnonzero(counts > 0))


class PlainEncoder:
    """The definition, item by item and word by word."""

    def __init__(self, facts: ContentFacts, items: Sequence[Mapping[str, Any]], counts: np.ndarray) -> None:
        self.facts = facts
        self.known = [row for row, count in enumerate(counts) if count > 0]
        words = [[self._words(column, item.get(column.name)) for column in facts.columns] for item in items]
        self.rarity: list[dict[Any, float]] = []
        for place in range(len(facts.columns)):
            having: dict[Any, int] = {}
            for row in self.known:
                for word in words[row][place]:
                    having[word] = having.get(word, 0) + 1
            self.rarity.append({word: math.log1p(len(self.known) / count) for word, count in having.items()})
        self.vectors = {row: self._vector(words[row]) for row in self.known}

    def _words(self, column: Any, value: Any) -> dict[Any, float]:
        if value is None:
            return {}
        if column.kind == "number":
            knots = column.knots
            number = min(max(float(value), knots[0]), knots[-1])
            upper = next((place for place in range(1, len(knots)) if number < knots[place]), len(knots) - 1)
            share = (number - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
            return {place: part for place, part in ((upper - 1, 1 - share), (upper, share)) if part > 0}
        if column.kind == "words":
            return {word.strip().casefold(): 1.0 for word in value if word}
        split = "".join(one if one.isalnum() or one == "_" else " " for one in value.casefold())
        return dict.fromkeys(split.split(), 1.0)

    def _vector(self, words: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
        vector: dict[Any, float] = {}
        for place, column in enumerate(self.facts.columns):
            own = {word: part * self.rarity[place].get(word, 0.0) for word, part in words[place].items()}
            length = math.sqrt(sum(value * value for value in own.values()))
            if length > 0:
                vector |= {(place, word): column.weight * value / length for word, value in own.items() if value}
        length = math.sqrt(sum(value * value for value in vector.values()))
        return {key: value / length for key, value in vector.items()} if length else {}

    def lean(self, told: Mapping[str, Any]) -> tuple[list[int], list[float], float] | None:
        """Give the known items that one leans on, their weights, and that of an average one."""
        asked = self._vector([self._words(column, told.get(column.name)) for column in self.facts.columns])
        cosines = {
            row: sum(value * vector.get(key, 0.0) for key, value in asked.items())
            for row, vector in self.vectors.items()
        }
        rows = sorted(
            (row for row, one in cosines.items() if one > 0), key=lambda row: (-np.float32(cosines[row]), row)
        )
        rows = rows[: self.facts.neighbours]
        if not rows:
            return None
        weights = [cosines[row] ** self.facts.power for row in rows]
        total = sum(weights) + self.facts.prior
        return rows, [weight / total for weight in weights], self.facts.prior / total

    def score(self, lean: tuple[list[int], list[float], float], scores: np.ndarray, history: set[int]) -> float:
        """Give the score of one item for somebody with such scores of all items, of which there are at most 256."""
        average = scores[self.known]
        more = self.facts.own * average.std()
        liked = [scores[row] + (more if row in history else 0.0) for row in lean[0]]
        return float(sum(weight * one for weight, one in zip(lean[1], liked, strict=True)) + lean[2] * average.mean())
