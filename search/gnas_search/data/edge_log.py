"""EdgeLog: of which event the edges of a graph are, and how old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.data.pairs import Known, Pairs

Floats = npt.NDArray[np.float32]

_OUTLYING = (0.01, 0.99)
"""Quantiles of the times that the span lies between: one broken clock must not stretch it."""


@dataclass(frozen=True)
class EdgeLog:
    """The interactions behind the edges of one fit, one entry per user, item and event, in this order.

    Attributes
    ----------
    others
        Names of the events beside the target; empty where every event is a target.
    places : (n,) int32 or None
        Position of each entry's edge among the ``edges`` of its graph, ascending; None where the entries are the edges.
    codes : (n,) int8 or int16, or None
        0 for the target, else one more than a position in ``others``; None where there is no other event.
    ages : (n,) float32 or None
        How long before the newest interaction of the fit each happened, in spans of the selection fit's times, so that
        an age means the same in both fits; below 0 where it came after what counts as the newest. Of a target event the
        first time, which it was split by, of others the latest that the fit may know. None without timestamps.
    oldest
        The greatest age that counts: where time weighs, what is older is as old as this, and what is below 0 is new. A
        broken clock must not weigh on the others.
    """

    others: tuple[str, ...]
    places: npt.NDArray[np.int32] | None
    codes: npt.NDArray[np.int8] | npt.NDArray[np.int16] | None
    ages: Floats | None
    oldest: float = np.inf

    def of_target(self) -> EdgeLog:
        """Give the entries of the target event alone: those of the graph's ``positives``, one by one."""
        if self.codes is None:
            return self
        return EdgeLog((), None, None, None if self.ages is None else self.ages[self.codes == 0], self.oldest)

    def bringing(self) -> tuple[str, ...]:
        """Name the other events that have an edge which the target event does not have."""
        if self.codes is None or self.places is None:
            return ()
        targeted = np.zeros(int(self.places[-1]) + 1 if len(self.places) else 0, dtype=np.bool_)
        targeted[self.places[self.codes == 0]] = True
        bringing = set(np.unique(self.codes[~targeted[self.places]]).tolist())
        return tuple(name for code, name in enumerate(self.others, start=1) if code in bringing)


@dataclass(frozen=True)
class Clock:
    """What ages are counted by: backwards from ``newest``, in units of ``span``."""

    newest: float
    oldest: float
    span: float

    @classmethod
    def of(cls, *groups: Pairs) -> Clock | None:
        """Read the times of some interactions; None where there are none, or all are the same."""
        times = _times(groups)
        if times is None or not len(times):
            return None
        with np.errstate(over="ignore", invalid="ignore"):  # times may be any finite numbers
            oldest, newest = (float(end) for end in np.quantile(times, _OUTLYING))
            if not newest > oldest:
                oldest, newest = float(times.min()), float(times.max())
            span = newest - oldest
        return cls(newest, oldest, span) if 0.0 < span < np.inf else None

    def until(self, *groups: Pairs) -> Clock:
        """Count from the newest of some interactions on, in the same unit."""
        later = Clock.of(*groups)
        return self if later is None else Clock(max(self.newest, later.newest), self.oldest, self.span)

    @property
    def oldest_age(self) -> float:
        """The age of ``oldest``."""
        return (self.newest - self.oldest) / self.span

    def ages(self, times: npt.NDArray[np.float64]) -> Floats:
        """Give the age of each time, finite and in their order also beyond the clock's ends: (n,) -> (n,)."""
        largest = np.finfo(np.float32).max
        with np.errstate(over="ignore"):  # times may be any finite numbers
            aged = np.clip((self.newest - times) / self.span, -largest, largest)
        return aged.astype(np.float32)


def edge_log(
    targets: tuple[Pairs, ...], others: Pairs, known: Known, clock: Clock | None, names: Mapping[int, str]
) -> EdgeLog | None:
    """Log the interactions behind the edges of one fit.

    Parameters
    ----------
    targets
        Interactions of the target event, each user and item once.
    others
        Those of other events.
    known
        Gives rows.
    clock
        None where there are no times.
    names
        Of the other events, by their code in the logs, ascending.

    Returns
    -------
    EdgeLog or None
        None where there is neither a time nor another event.
    """
    if clock is None and not names:
        return None
    groups = (*targets, others)
    users = known.user_rows[np.concatenate([group.users for group in groups])]
    items = known.item_rows[np.concatenate([group.items for group in groups])]
    numbered = np.searchsorted(list(names), others.events) + 1
    codes = np.concatenate([np.zeros(len(users) - len(numbered), np.int64), numbered])
    events = len(names) + 1
    keys = (users * len(known.items) + items) * events + codes
    times = _times(groups)
    order = np.argsort(keys, kind="stable") if times is None else np.lexsort((times, keys))
    keys = keys[order]
    last = np.concatenate([keys[1:] != keys[:-1], [True]])[: len(keys)]  # of several times the latest
    order, keys = order[last], keys[last]
    ages = None if clock is None or times is None else clock.ages(times[order])
    oldest = np.inf if clock is None else clock.oldest_age
    if not names:
        return EdgeLog((), None, None, ages, oldest)
    pairs = keys // events
    places = np.concatenate([[0], np.cumsum(pairs[1:] != pairs[:-1])])[: len(keys)].astype(np.int32)
    kind = np.int8 if events <= np.iinfo(np.int8).max else np.int16
    return EdgeLog(tuple(names.values()), places, (keys % events).astype(kind), ages, oldest)


def _times(groups: tuple[Pairs, ...]) -> npt.NDArray[np.float64] | None:
    times = [group.times for group in groups if group.times is not None]
    return np.concatenate(times) if len(times) == len(groups) else None
