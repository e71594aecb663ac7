"""Draws: which point a study tries next, and what it has tried."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from gnas_search.space import SearchSpace
from gnas_search.strategies import make_strategy
from gnas_search.strategies.strategy import FAMILY, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.turns import Turns


class Draws:
    """Draws points for a study, the families taking turns; the only one that adds trials to its journal.

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
        self._keys: dict[int, str] = {}
        self._turns = Turns(space.families, self._spent_s() if share_time else None)

    def _spent_s(self) -> dict[str, float]:
        """Add up what the trials of each family took."""
        spent: dict[str, float] = {}
        for trial in self._journal.get_trials(deepcopy=False):
            seconds = trial.user_attrs.get(records.MEASURED, {}).get("seconds", 0.0)
            spent[family_of(trial)] = spent.get(family_of(trial), 0.0) + float(seconds)
        return spent

    @property
    def families(self) -> tuple[str, ...]:
        """The families that are drawn from."""
        return tuple(self._strategies)

    def known(self) -> dict[str, FrozenTrial]:
        """Give the finished trials by key, the duplicates left out."""
        finished = self._journal.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        interrupted = interrupted_numbers(self._journal)
        known = {}
        for trial in finished:
            facts = trial.user_attrs
            if records.SPEC in facts and records.DUPLICATE_OF not in facts and trial.number not in interrupted:
                # A finished trial does not change: reading all of them anew would slow every draw a little more.
                if trial.number not in self._keys:
                    self._keys[trial.number] = records.branch_spec(facts[records.SPEC]).key()
                known[self._keys[trial.number]] = trial
        return known

    def is_exhausted(self, family: str, known: dict[str, FrozenTrial], running: int) -> bool:
        """Tell whether every point of a family was tried, or is by one of so many running trials."""
        space = self._space.families[family]
        tried = running + sum(family_of(trial) == family for trial in known.values())
        return bool(space.is_finite) and tried >= space.size()

    def draw(self, families: list[str]) -> tuple[optuna.trial.Trial, str]:
        """Begin the next trial: one that waits for its second try, else a start, else the strategy's choice.

        Parameters
        ----------
        families
            Those that have anything left to draw.

        Returns
        -------
        trial
            Its spec is among its attributes.
        family
            What it was drawn from.
        """
        # One point at a time, and only where nothing waits for its second try: so the order of the starts is kept
        # and none is lost or doubled, wherever the run before was stopped.
        waiting = self._journal.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:
            family = family_of(waiting[0])
        else:
            drawn = {name: strategy.drawn(self._journal) for name, strategy in self._strategies.items()}
            family = self._turns.next(sum(drawn.values()), families)
            space = self._space.families[family]
            starts = space.starts[drawn[family] :]
            point = space.encode(starts[0]) if starts else self._strategies[family].propose(self._journal)
            self._journal.enqueue_trial(point, user_attrs={FAMILY: family})
        trial = self._journal.ask(dict(self._space.families[family].genes))
        trial.set_user_attr(records.SPEC, self._space.read(family, trial.params).to_json())
        trial.set_user_attr(records.STRATEGY, self._name)
        self._turns.begin(trial.number, family)
        return trial, family

    def ended(self, number: int) -> None:
        """Hear that a trial has ended: its family's turn is over."""
        self._turns.end(number)
