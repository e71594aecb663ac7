"""Turns: which family of models a study draws from next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from gnas_search.specs import FAMILIES, GNN

ROUND = ("filter", "two-hop", GNN, GNN)
"""One round of draws where trials are counted."""

TIME_SHARES = {"filter": 0.25, "two-hop": 0.25, GNN: 0.5}
"""Of the time, where that is what ends a search. One network of Gowalla takes as long as thirty filters, so rounds
left these four trials beyond their starts; a quarter of 15 minutes finds filters and two-hop models 2 % better, and
their blend with the same network 1 %."""


def by_rounds(families: Collection[str], drawn: int, count: int) -> Counter[str]:
    """Say how many of the next draws each family gets where trials are counted, as long as none is exhausted.

    Parameters
    ----------
    families
        Those of the space.
    drawn
        How many points were drawn so far.
    count
        How many follow.
    """
    turns = [family for family in ROUND if family in families]
    return Counter(turns[number % len(turns)] for number in range(drawn, drawn + count))


class Turns:
    """The families of a study, taking turns: round by round, or by the time that each has had.

    Parameters
    ----------
    families
        Those of the space; at least one.
    spent_s
        Seconds that earlier runs spent on each family, where time is what ends the search; None for rounds, which are
        the same whatever the machine.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        families: Collection[str],
        spent_s: Mapping[str, float] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._families = tuple(families)
        self._spent_s = None if spent_s is None else {family: spent_s.get(family, 0.0) for family in families}
        self._clock = clock
        self._running: dict[int, tuple[str, float]] = {}

    def next(self, drawn: int, families: Collection[str]) -> str:
        """Say whose turn it is.

        Parameters
        ----------
        drawn
            How many points were drawn so far, of all families.
        families
            Those that have anything left to draw; at least one.
        """
        if self._spent_s is None:
            turns = [family for family in ROUND if family in self._families]
            later = (turns[(drawn + step) % len(turns)] for step in range(len(turns)))
            return next(family for family in later if family in families)
        spent, now = dict(self._spent_s), self._clock()
        for family, since in self._running.values():
            spent[family] += now - since
        return min(families, key=lambda family: (spent[family] / TIME_SHARES[family], FAMILIES.index(family)))

    def begin(self, number: int, family: str) -> None:
        """Charge a family with the time from now on, until the trial of this number ends."""
        self._running[number] = family, self._clock()

    def charge(self, family: str, seconds: float) -> None:
        """Charge a family with what was done for it beside its trials."""
        if self._spent_s is not None:
            self._spent_s[family] += seconds

    def end(self, number: int) -> None:
        """Stop charging for a trial."""
        family, since = self._running.pop(number)
        if self._spent_s is not None:
            self._spent_s[family] += self._clock() - since
