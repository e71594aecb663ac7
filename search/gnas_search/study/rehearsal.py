"""Rehearsal: a search is played through with forecasts in the place of trainings, its families taking their turns."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnas_search.specs import GNN
from gnas_search.study.turns import Turns

_PLAYED = 20_000
"""So many trials are played through; what comes after goes on in proportion."""


@dataclass(frozen=True)
class Part:
    """A model as a search expects it.

    Attributes
    ----------
    seconds
        Of its trial.
    host_bytes
        Of the machine's memory, on top of what a process holds.
    first_s
        Of a network: its first epoch, without which a trial that time stops comes to nothing. None of a closed form,
        which nothing stops.
    is_refused
        Whether memory refuses it: a trial that fails at once.
    """

    seconds: float
    host_bytes: int = 0
    first_s: float | None = None
    is_refused: bool = False


@dataclass(frozen=True)
class Cast:
    """What a family has to try.

    Attributes
    ----------
    starts
        Those that are left, in their order.
    usual
        What is drawn after them; None where memory refuses all.
    left
        How many models there are to try, the starts included; None without end.
    """

    starts: Sequence[Part]
    usual: Part | None
    left: int | None


@dataclass(frozen=True)
class Stage:
    """Where a search is played, and what ends it.

    Attributes
    ----------
    trials
        That may still begin; None sets no limit.
    time_s
        Until trials end; None sets no limit.
    trial_s
        That one network may take, its first epoch at least; None sets no limit.
    spent_s
        That families had of earlier runs' time, where they share the time; None where they take turns by rounds.
    drawn
        Points that earlier runs drew.
    supernet_s
        That passes before the first trial, and is the networks'.
    costs_s
        That each model takes to be exported and timed, one at a time.
    slots
        Trials at a time.
    available_bytes, process_bytes
        Memory that may be taken, None where the system does not say, and what the process of a slot holds of it.
    """

    trials: int | None
    time_s: float | None
    trial_s: float | None = None
    spent_s: Mapping[str, float] | None = None
    drawn: int = 0
    supernet_s: float = 0.0
    costs_s: float = 0.0
    slots: int = 1
    available_bytes: int | None = None
    process_bytes: int = 0

    def has_room(self, parts: Sequence[Part]) -> bool:
        """Tell whether the memory holds so many trials together, as slots do; one alone may always start."""
        if len(parts) == 1 or self.available_bytes is None:
            return True
        return self.held_bytes(parts) <= self.available_bytes

    def held_bytes(self, parts: Sequence[Part]) -> int:
        """Count what trials together take, each in a process of its own where there are several slots."""
        return sum(part.host_bytes + (self.process_bytes if self.slots > 1 else 0) for part in parts)


@dataclass
class Rehearsal:
    """What came of it.

    Attributes
    ----------
    trials, seconds
        Trials that were measured, and their seconds with those of their export, by family.
    wall_s
        From the first trial, or the supernet before it, to the end of the last.
    most_together, most_bytes
        Trials under way at once, and what they took of the memory.
    """

    trials: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    most_together: int = 0
    most_bytes: int = 0


def rehearse(casts: Mapping[str, Cast], stage: Stage, retries: Sequence[tuple[str, Part]] = ()) -> Rehearsal:
    """Play a search through.

    Parameters
    ----------
    casts
        What each family has to try.
    stage
        Where.
    retries
        Family and model of trials that an earlier run did not end: they come first.
    """
    return _Player(casts, stage, retries).played()


class _Player:
    def __init__(self, casts: Mapping[str, Cast], stage: Stage, retries: Sequence[tuple[str, Part]]) -> None:
        self._stage = stage
        self._now = stage.supernet_s
        self._turns = Turns(casts, stage.spent_s, clock=lambda: self._now)
        if stage.supernet_s:
            self._turns.charge(GNN, stage.supernet_s)
        self._usual = {family: cast.usual for family, cast in casts.items()}
        self._starts = {family: list(reversed(cast.starts)) for family, cast in casts.items()}
        self._left = {family: cast.left for family, cast in casts.items()}
        self._retries = list(reversed(retries))
        self._running: list[tuple[float, int, str, Part, float]] = []
        self._begun = 0
        self._found = Rehearsal()

    def played(self) -> Rehearsal:
        found, waiting = self._found, None
        while True:
            while len(self._running) < self._stage.slots:
                waiting = waiting if waiting is not None else self._next()
                if waiting is None or not self._stage.has_room([waiting[1], *self._parts()]):
                    break
                self._begin(*waiting)
                waiting = None
            if not self._running:
                break
            end, number, family, _, began = heapq.heappop(self._running)
            self._now = max(self._now, end) + self._stage.costs_s
            self._turns.end(number)
            found.trials[family] += 1
            found.seconds[family] = found.seconds.get(family, 0.0) + end - began + self._stage.costs_s
        found.wall_s = self._now
        return self._in_proportion()

    def _parts(self) -> list[Part]:
        return [part for _, _, _, part, _ in self._running]

    def _next(self) -> tuple[str, Part] | None:
        """Draw until there is a trial to begin; None where a limit is reached or nothing is left."""
        stage = self._stage
        while self._begun < min(_PLAYED, stage.trials if stage.trials is not None else _PLAYED):
            if stage.time_s is not None and self._now >= stage.time_s:
                return None
            families = [family for family, left in self._left.items() if left is None or left > 0]
            if not families:
                return None
            family, part = self._drawn(families)
            left = self._left[family]
            self._left[family] = None if left is None else left - 1
            if part is not None and part.first_s is None and self._outlasts(part.seconds):
                self._left[family] = 0  # it is left to the next run, and what is like it
                continue
            if part is not None and part.first_s is not None and self._outlasts(part.first_s):
                return None  # the time ends before anything is known of it
            self._begun += 1
            if part is not None and not part.is_refused:
                return family, part
            if part is None and stage.spent_s is not None:
                self._left[family] = 0
        return None

    def _drawn(self, families: list[str]) -> tuple[str, Part | None]:
        if self._retries:
            return self._retries.pop()
        family = self._turns.next(self._stage.drawn + self._begun, families)
        return family, self._starts[family].pop() if self._starts[family] else self._usual[family]

    def _outlasts(self, seconds: float) -> bool:
        return self._stage.time_s is not None and self._now + seconds > self._stage.time_s

    def _begin(self, family: str, part: Part) -> None:
        stage, seconds = self._stage, part.seconds
        if part.first_s is not None:
            seconds = min(seconds, seconds if stage.trial_s is None else max(stage.trial_s, part.first_s))
            seconds = min(seconds, seconds if stage.time_s is None else max(0.0, stage.time_s - self._now))
        self._turns.begin(self._begun, family)
        heapq.heappush(self._running, (self._now + seconds, self._begun, family, part, self._now))
        self._found.most_together = max(self._found.most_together, len(self._running))
        self._found.most_bytes = max(self._found.most_bytes, stage.held_bytes(self._parts()))

    def _in_proportion(self) -> Rehearsal:
        """Go on from what was played to the limits, where those are further."""
        stage, found = self._stage, self._found
        if self._begun < _PLAYED:
            return found
        limits = [] if stage.trials is None else [stage.trials / self._begun]
        limits += [] if stage.time_s is None else [stage.time_s / max(found.wall_s, 1e-9)]
        for family, count in list(found.trials.items()):
            left, most = self._left[family], min(limits, default=1.0) * count
            found.trials[family] = int(most if left is None else min(most, count + left))
            found.seconds[family] *= found.trials[family] / max(count, 1)
        found.wall_s *= sum(found.trials.values()) / max(1, self._begun)
        return found
