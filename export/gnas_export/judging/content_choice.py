"""How the content encoder reads a catalogue, chosen by items left out and users who do not judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gnas_export.judging.content_trials import Trial
from gnas_export.retrieval.content import ContentTerms
from gnas_serve.artifact.content_facts import ContentFacts

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Of an attribute."""
NEIGHBOURS = (10, 40, 160)
POWERS = (1.0, 2.0, 3.0)
PRIORS = (0.0, 0.5, 2.0)
OWNS = (0.0, 3.0, 10.0, 30.0, 100.0)
FIRST = (40, 2.0, 0.5, 3.0)
"""Of each of the four numbers, what the weights are chosen with."""
_ROUNDS = 2
_GAIN = 1.01  # a weight other than before has to be better by so much; numbers are as simple as each other


@dataclass(frozen=True)
class ChosenContent:
    """What is best for the users who choose.

    Attributes
    ----------
    facts
        Without metrics; None where there is nothing to choose by.
    tried
        The mean ndcg@20 of each: what the attributes weigh, and the four numbers.
    """

    facts: ContentFacts | None
    tried: tuple[dict[str, Any], ...]


def chosen_content(terms: ContentTerms, trials: Sequence[Trial]) -> ChosenContent:
    """Choose weights of the attributes one after the other, then the numbers, two by two."""
    if not trials:
        return ChosenContent(None, ())
    names = [column.name for column in terms.columns]
    tried: list[dict[str, Any]] = []

    def measured(weights: Sequence[float], neighbours: int, power: float, rest: Sequence[tuple[float, float]]) -> float:
        means = np.mean([trial.measured(weights, neighbours, power, rest) for trial in trials], axis=0)
        for (prior, own), mean in zip(rest, means.tolist(), strict=True):
            told = {"weights": dict(zip(names, weights, strict=True)), "neighbours": neighbours, "power": power}
            tried.append(told | {"prior": prior, "own": own, "ndcg@20": mean})
        return float(means.max())

    def best_of(weights: Sequence[float]) -> dict[str, Any]:
        """Give the first of the best with these weights: others were tried as well, and did not gain enough."""
        kept = dict(zip(names, weights, strict=True))
        return max((one for one in tried if one["weights"] == kept), key=lambda one: one["ndcg@20"])

    neighbours, power, prior, own = FIRST
    weights = [1.0] * len(names)
    best = measured(weights, neighbours, power, [(prior, own)])
    for _ in range(_ROUNDS if len(names) > 1 else 0):
        before = list(weights)
        for place in range(len(names)):
            held = weights[place]
            for weight in WEIGHTS:
                other = [*weights[:place], weight, *weights[place + 1 :]]
                if weight == held or not any(other):
                    continue
                if (found := measured(other, neighbours, power, [(prior, own)])) > best * _GAIN:
                    best, weights = found, other
        if weights == before:
            break
    for pair in product(NEIGHBOURS, POWERS):
        if pair != (neighbours, power):
            measured(weights, *pair, [(prior, own)])
    top = best_of(weights)
    neighbours, power = top["neighbours"], top["power"]
    measured(weights, neighbours, power, [pair for pair in product(PRIORS, OWNS) if pair != (prior, own)])
    top = best_of(weights)
    columns = terms.weighted(weights).columns
    return ChosenContent(ContentFacts(columns, neighbours, power, top["prior"], top["own"], {}), tuple(tried))


def chosen_popularity(terms: ContentTerms, facts: ContentFacts, trials: Sequence[Trial]) -> ContentFacts:
    """Choose the numbers with which popularity is told best by the attributes of an encoder, as these weigh there."""
    weights = {column.name: column.weight for column in facts.columns}
    all_weights = [weights.get(column.name, 0.0) for column in terms.columns]
    rest = [(prior, 0.0) for prior in PRIORS]  # what the asker has is nothing that popularity knows
    simple = [trial.by_popularity() for trial in trials]
    best, found = -1.0, facts
    for neighbours, power in product(NEIGHBOURS, POWERS):
        means = np.mean([trial.measured(all_weights, neighbours, power, rest) for trial in simple], axis=0)
        for (prior, own), mean in zip(rest, means.tolist(), strict=True):
            if mean > best:
                best, found = mean, ContentFacts(facts.columns, neighbours, power, prior, own, {})
    return found


def most_choices(num_columns: int) -> int:
    """Tell how many pairs of numbers of neighbours and powers, with weights, are looked at; fewer where none gains."""
    weighed = _ROUNDS * num_columns * (len(WEIGHTS) - 1) if num_columns > 1 else 0
    return 1 + weighed + 2 * len(NEIGHBOURS) * len(POWERS)
