"""Tried: which models a study has tried, kept up to date trial by trial."""

from __future__ import annotations

from bisect import insort

import optuna
from optuna.trial import FrozenTrial

from gnas_search.strategies.tally import REJECTED, family_of, interrupted_numbers
from gnas_search.study import records


class Tried:
    """The finished trials of a study, by the model that each measured.

    Parameters
    ----------
    journal
        The Optuna study behind it, to which this process alone adds trials.
    """

    def __init__(self, journal: optuna.Study) -> None:
        self._journal = journal
        self._known: dict[str, FrozenTrial] = {}
        self._begun: dict[int, str] = {}  # keys of the models that this process began: to read one takes a while
        self._numbers: list[int] = []  # of the known, ascending
        self._unfinished: list[int] = []
        self._counted = 0
        self._read = 0  # so many trials are in these, or will never be

    def begin(self, number: int, key: str) -> None:
        """Hear which model a trial has begun to measure."""
        self._begun[number] = key

    def known(self) -> dict[str, FrozenTrial]:
        """Give the finished trials by key, the duplicates left out."""
        trials, interrupted = self._journal.get_trials(deepcopy=False), interrupted_numbers(self._journal)
        # A finished trial does not change: to read all of them anew would slow every draw a little more.
        unread, self._unfinished = [*self._unfinished, *range(self._read, len(trials))], []
        self._read = len(trials)
        for number in unread:
            trial, facts = trials[number], trials[number].user_attrs
            if not trial.state.is_finished():
                self._unfinished.append(number)
                continue
            begun = self._begun.pop(number, "")
            if number in interrupted or records.DUPLICATE_OF in facts:
                continue
            if _broke_a_rule(trial):
                self._counted += REJECTED not in facts
            elif records.SPEC in facts:
                self._know(begun or records.branch_spec(facts[records.SPEC]).key(), trial)
        return self._known

    def _know(self, key: str, trial: FrozenTrial) -> None:
        if key in self._known:
            self._numbers.remove(self._known[key].number)
        self._known[key] = trial
        insort(self._numbers, trial.number)

    def numbers(self) -> list[int]:
        """Give the numbers of the known trials, ascending; not to be changed."""
        self.known()
        return self._numbers

    def counted(self) -> int:
        """Count the rejected trials that strategies take for drawn: those of studies of earlier versions."""
        self.known()
        return self._counted

    def repeats(self, family: str) -> int:
        """Count the latest draws of a family, in a row, that gave a model which was known."""
        interrupted, count = interrupted_numbers(self._journal), 0
        for trial in reversed(self._journal.get_trials(deepcopy=False)):
            if family_of(trial) != family or trial.number in interrupted or _broke_a_rule(trial):
                continue
            if records.DUPLICATE_OF not in trial.user_attrs:
                break
            count += 1
        return count


def _broke_a_rule(trial: FrozenTrial) -> bool:
    """Tell whether a trial broke a constraint before it was fitted."""
    return records.INFEASIBLE in trial.user_attrs and records.MEASURED not in trial.user_attrs
