"""Drift: how far the scores of the latest answers are from those that the model gave at its export."""

from __future__ import annotations

import math
from bisect import bisect_right

from gnas_serve.artifact.score_facts import ScoreFacts
from gnas_serve.runtime.query import Answer, Query

WINDOW = 10_000
"""Answers that count."""
LEAST = 500
"""Of fewer answers nothing is said: by chance alone the index would be near .02."""


class Drift:
    """The population stability index of first scores against the manifest's.

    0 is the same distribution; from .1 on it is worth a look, from .25 on the model answers other people than it was
    judged on, or in another way. An answer costs the search for its bin.

    Parameters
    ----------
    facts
        Of the manifest.
    window
        How many of the latest answers count.

    References
    ----------
    Yurdakul, B. Statistical properties of the population stability index. Western Michigan University, 2018.
    """

    def __init__(self, facts: ScoreFacts, window: int = WINDOW) -> None:
        self._edges = facts.edges
        bins = len(facts.shares)
        # Half a user more in every bin: none is ever empty, and the index finite.
        self._expected = [(share * facts.users + 0.5) / (facts.users + 0.5 * bins) for share in facts.shares]
        self._counts = [0] * bins
        self._places = bytearray(window)  # the bin of each answer; a ring
        self._next = 0
        self._answers = 0

    def add(self, score: float) -> int:
        """Take note of the first score of an answer.

        Returns
        -------
        int
            How many there were, the window at most.
        """
        place = bisect_right(self._edges, score)
        if self._answers == len(self._places):
            self._counts[self._places[self._next]] -= 1
        else:
            self._answers += 1
        self._places[self._next] = place
        self._counts[place] += 1
        self._next = (self._next + 1) % len(self._places)
        return self._answers

    def index(self) -> float:
        """Give the index; NaN of fewer answers than :data:`LEAST`."""
        if self._answers < LEAST:
            return math.nan
        whole = self._answers + 0.5 * len(self._counts)
        found = [(count + 0.5) / whole for count in self._counts]
        return sum((now - then) * math.log(now / then) for now, then in zip(found, self._expected, strict=True))


def is_comparable(query: Query, answer: Answer) -> bool:
    """Tell whether an answer is of the kind that the manifest's scores are of.

    A known user asked for items and nothing else: other candidates, and what is left out, move the first score.
    """
    return (
        answer.source == "user"
        and query.candidates is None
        and query.filter is None
        and not query.exclude_items
        and not query.history
        and query.exclude_seen
        and query.diversity == 0.0
        and query.exploration == 0.0
        and answer.sources is None
        and bool(answer.scores)
    )
