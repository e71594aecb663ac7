"""Draws: which point a study tries next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from gnas_search.space import SearchSpace
from gnas_search.space.feasible import Count
from gnas_search.space.points import Point, random_point
from gnas_search.specs import GNN, BranchSpec
from gnas_search.strategies import make_strategy
from gnas_search.strategies.tally import FAMILY, REJECTED, Tally, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.limits import Limits
from gnas_search.study.own_journal import add_ended, begin_trial, end_trial
from gnas_search.study.phases import ARCHITECTURE, HYPERPARAMETERS, START, Phases, Tuning
from gnas_search.study.tried import Tried
from gnas_search.study.turns import Turns, by_rounds

PROPOSALS = 20
"""So often a strategy proposes for one draw where what it proposes breaks a constraint."""
RANDOM_POINTS = 2000
"""So many random points are then tried; where none is feasible, the family has nothing more."""
_SYSTEMATIC = ("grid",)  # strategies that go through the whole space, of which tuning would see a part
_STALE = 5
LOST = 10
"""So many draws in a row repeat what is known: a strategy that has gathered around a few points has no others to give,
and the next is drawn at random."""


class Draws:
    """Draws points for a study, the families taking turns; begins the trials of its journal.

    Parameters
    ----------
    journal
        The Optuna study behind it.
    space
        Restricted to its data.
    strategy_name, seed
        Of every family's strategy.
    share_time
        Whether families share the time, rather than the number of trials.
    """

    def __init__(
        self, journal: optuna.Study, space: SearchSpace, strategy_name: str, seed: int, *, share_time: bool
    ) -> None:
        self._journal = journal
        self._space = space
        self._name = strategy_name
        self._strategies = {
            family: make_strategy(strategy_name, family, of, seed) for family, of in space.families.items()
        }
        self.tried = Tried(journal)
        """What the study has tried."""
        self._counts: dict[str, Count] = {}
        self._barren: set[str] = set()
        self._phases = Phases(journal, space)
        self._turns = Turns(space.families, self.spent_s() if share_time else None)

    def spent_s(self) -> dict[str, float]:
        """Add up what the trials of each family took."""
        spent: dict[str, float] = {}
        for trial in self._journal.get_trials(deepcopy=False):
            seconds = trial.user_attrs.get(records.MEASURED, {}).get("seconds", 0.0)
            spent[family_of(trial)] = spent.get(family_of(trial), 0.0) + float(seconds)
        return spent

    def _drawn(self) -> Counter[str]:
        drawn = Tally.of(self._journal).drawn()
        return Counter({family: drawn[family] for family in self._strategies})

    def _starts(self, family: str, drawn: Mapping[str, int]) -> tuple[BranchSpec, ...]:
        """Give the starts of a family of which so many points were drawn, but for these: the starts come first."""
        return tuple(self._space.families[family].starts[drawn[family] :])

    def starts_left(self, family: str) -> tuple[BranchSpec, ...]:
        """Give the starts of a family that are drawn once nothing waits for its second try."""
        again = Counter(family_of(trial) for trial in self._waiting() if REJECTED not in trial.user_attrs)
        return self._starts(family, self._drawn() + again)

    def _waiting(self) -> list[FrozenTrial]:
        return Tally.of(self._journal).waiting()

    def second_tries(self) -> list[tuple[str, BranchSpec]]:
        """Give the family and model of each trial that waits for its second try, in order; of feasible ones alone."""
        found = []
        for trial in self._waiting():
            family, point = family_of(trial), trial.system_attrs.get("fixed_params", {})
            if family in self._strategies and set(point) == set(self._space.families[family].genes):
                found.append((family, self._space.read(family, point)))
        return [(family, spec) for family, spec in found if not self._space.why_not(spec)]

    @property
    def turns_had(self) -> int:
        """How many points were drawn, as turns by rounds count them."""
        return self._drawn().total() - self.tried.counted()

    @property
    def families(self) -> tuple[str, ...]:
        """The families that are drawn from."""
        return tuple(self._strategies)

    def is_exhausted(self, family: str, running: int) -> bool:
        """Tell whether every point of a family was tried, or is by one of so many running trials.

        So it is, too, where no point was found that the constraints leave.
        """
        if family in self._barren:
            return True
        if not self._space.families[family].is_finite:
            return False
        if family not in self._counts:
            self._counts[family] = self._space.count(family)
        count = self._counts[family]
        tried = running + sum(family_of(trial) == family for trial in self.tried.known().values())
        return count.is_exact and tried >= count.models

    def proposals(self, count: int) -> int:
        """Say how many networks beyond their starts are among so many further draws, where trials are counted."""
        if GNN not in self._strategies:
            return 0
        drawn = self._drawn()
        starts = len(self._starts(GNN, drawn))
        return max(0, by_rounds(self._strategies, drawn.total() - self.tried.counted(), count)[GNN] - starts)

    def progress(self, limits: Limits, running: int) -> float:
        """Say how much is over of what the starts of the networks left: what decides the phase."""
        return self._phases.progress(limits, self.tried.numbers(), running)

    def draw(self, families: list[str], progress: float = 0.0) -> tuple[FrozenTrial, BranchSpec, str] | None:
        """Begin the next trial: one that waits for its second try, else a start, else the strategy's choice.

        Parameters
        ----------
        families
            Those that have anything left to draw.
        progress
            As :meth:`progress` says. Where the second phase has nothing new, the whole space has.

        Returns
        -------
        trial, spec
            As it was begun, and its model.
        family
            What it was drawn from.

        None where the constraints leave nothing to be found in the family whose turn it was: it is exhausted.
        """
        # One point at a time, and only where nothing waits for its second try: so the order of the starts is kept
        # and none is lost or doubled, wherever the run before was stopped.
        if waiting := self._waiting():
            family = family_of(waiting[0])
            begun = self._second_try(family)
            if begun is None:
                return self.draw(families, progress)
            trial, spec = begun
        else:
            drawn = self._drawn()
            family = self._turns.next(drawn.total() - self.tried.counted(), families)
            space = self._space.families[family]
            starts = self._starts(family, drawn)
            repeats = self.tried.repeats(family)
            whole = starts or self._name in _SYSTEMATIC or repeats >= _STALE
            tunings = [] if whole else self._phases.tunings(family, progress)
            found = self._start(family, starts[0]) if starts else self._first(family, tunings, lost=repeats >= LOST)
            if found is None:
                self._barren.add(family)
                return None
            point, spec, phase = found
            facts = {**self._facts(family, spec), records.PHASE: phase}
            trial = begin_trial(self._journal, point, space.genes, facts)
        self._turns.begin(trial.number, family)
        self.tried.begin(trial.number, spec.key())
        return trial, spec, family

    def _start(self, family: str, start: BranchSpec) -> tuple[Point, BranchSpec, str]:
        point = self._space.families[family].encode(start)
        return point, self._space.read(family, point), START

    def _first(self, family: str, tunings: Sequence[Tuning], *, lost: bool) -> tuple[Point, BranchSpec, str] | None:
        """Draw a feasible point of the first architecture that has any to tune, or of the whole space; name its phase.

        Which had none is not remembered: a run that goes on with the study could not know it.
        """
        for tuned in (*tunings, None):
            if found := self._feasible(family, tuned, lost=lost):
                return *found, ARCHITECTURE if tuned is None else HYPERPARAMETERS
        return None

    def _second_try(self, family: str) -> tuple[FrozenTrial, BranchSpec] | None:
        """Begin the trial that waits for its second try; None where it is one that the run before was rejecting."""
        asked = self._journal.ask(dict(self._space.families[family].genes))
        spec = self._space.read(family, asked.params)
        for name, value in self._facts(family, spec).items():
            if name not in asked.user_attrs:
                asked.set_user_attr(name, value)
        trial = self._journal.get_trials(deepcopy=False)[asked.number]
        reason = self._space.why_not(spec)
        if not reason:
            return trial, spec
        values = records.infeasible_values(self._journal)
        end_trial(self._journal, trial.number, values, {records.INFEASIBLE: reason})
        return None

    def _facts(self, family: str, spec: BranchSpec) -> dict[str, Any]:
        """Give what every trial has among its attributes."""
        return {FAMILY: family, records.SPEC: spec.to_json(), records.STRATEGY: self._name}

    def charge(self, family: str, seconds: float) -> None:
        """Count what was done for a family, beside its trials, as its share of the time."""
        self._turns.charge(family, seconds)

    def ended(self, number: int) -> None:
        """Hear that a trial has ended: its family's turn is over."""
        self._turns.end(number)

    def _feasible(self, family: str, tuned: Tuning | None, *, lost: bool) -> tuple[Point, BranchSpec] | None:
        """Let the strategy propose until a point meets the constraints; after some proposals, or lost, draw at random.

        The first point of a draw that does not is written down as infeasible, so that the strategy learns of it, and
        the others are proposed as if from further seeds: whatever share of a space is out, its journal grows by at
        most two trials per draw.
        """
        strategy = self._strategies[family]
        given: dict[str, Any] = {} if tuned is None else {"base": tuned.base, "free": tuned.free}
        first = int(self._goes_on(family))
        for attempt in range(first, 0 if lost else PROPOSALS):
            point = strategy.propose(self._journal, attempt, **given)
            spec = self._space.read(family, point)
            reason = self._space.why_not(spec)
            if not reason:
                return point, spec
            if attempt == 0:
                self._reject(family, point, spec, reason)
        rng = strategy.rng(self._journal)
        for _ in range(RANDOM_POINTS):
            point = random_point(rng, self._space.families[family].genes)
            if tuned is not None:
                point = {**tuned.base, **{name: point[name] for name in tuned.free}}
            spec = self._space.read(family, point)
            if not self._space.why_not(spec):
                return point, spec
        return None

    def _goes_on(self, family: str) -> bool:
        """Tell whether a draw's first point was rejected already, and the process ended before it had another."""
        interrupted = interrupted_numbers(self._journal)
        own = (t for t in reversed(self._journal.get_trials(deepcopy=False)) if family_of(t) == family)
        latest = next((trial for trial in own if trial.number not in interrupted), None)
        return latest is not None and REJECTED in latest.user_attrs

    def _reject(self, family: str, point: Point, spec: BranchSpec, reason: str) -> None:
        facts = {**self._facts(family, spec), records.INFEASIBLE: reason, REJECTED: True}
        values = records.infeasible_values(self._journal)
        add_ended(self._journal, point, self._space.families[family].genes, facts, values)
