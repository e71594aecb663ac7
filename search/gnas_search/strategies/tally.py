"""Tally: what is asked of all trials of a study at every draw, kept up to date trial by trial."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from gnas_search.space.points import Genes

INTERRUPTED = "interrupted"
"""Attribute of an Optuna study: numbers of the trials stopped from outside; later trials repeat their points."""
FAMILY = "family"
"""Attribute of an Optuna trial: which family it was drawn from."""
REJECTED = "rejected"
"""Attribute of an Optuna trial: its point broke a constraint, and another was proposed in its place."""


def attributes_of(study: optuna.Study) -> Mapping[str, Any]:
    """Give a study's attributes, not to be changed.

    The study's own property copies all of them, metrics of baselines and shortlists: half of a draw's time.
    """
    return study._storage.get_study_user_attrs(study._study_id)


def interrupted_numbers(study: optuna.Study) -> set[int]:
    """Read which trials were stopped from outside."""
    return set(attributes_of(study).get(INTERRUPTED, ()))


def family_of(trial: FrozenTrial) -> str:
    """Tell which family a trial was drawn from."""
    return str(trial.user_attrs.get(FAMILY, ""))


Kind = dict[str, BaseDistribution]
"""The genes that a trial was drawn from."""


class Tally:
    """The trials of a study by family, those stopped from outside left out.

    It holds nothing that is not in the study: to read all of a thousand trials anew took longer than a draw. A finished
    trial does not change; one that is stopped is marked before it ends.

    Parameters
    ----------
    study
        To which trials are added, and in which they end.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._interrupted: set[int] = set()
        self._forget()
        self.update(study)

    @classmethod
    def of(cls, study: optuna.Study) -> Tally:
        """Give the tally of a study as it is now."""
        known = _TALLIES.get(study)
        if known is None:
            known = _TALLIES[study] = cls(study)
        else:
            known.update(study)
        return known

    def _forget(self) -> None:
        self._read = 0
        self._unfinished: list[FrozenTrial] = []
        self._finished: dict[str, list[FrozenTrial]] = {}
        self._drawn: Counter[str] = Counter()
        self._parts: dict[tuple[str, ...], dict[int, FrozenTrial]] = {}
        self._kinds: dict[tuple[str, Sequence[str] | None], dict[int, Kind]] = {}
        self._genes: dict[tuple[Hashable, ...], Kind] = {}

    def update(self, study: optuna.Study) -> None:
        """Read what has changed in the study since."""
        trials, interrupted = study.get_trials(deepcopy=False), interrupted_numbers(study)
        unread = [*(trial.number for trial in self._unfinished), *range(self._read, len(trials))]
        if len(trials) < self._read or interrupted - self._interrupted - set(unread):
            self._forget()
            unread = list(range(len(trials)))
        self._interrupted, self._read, self._unfinished = interrupted, len(trials), []
        for trial in (trials[number] for number in unread):
            if not trial.state.is_finished():
                self._unfinished.append(trial)
            elif trial.number not in interrupted:
                shared = self._sharing(trial)
                insort(self._finished.setdefault(family_of(trial), []), shared, key=_number)
                self._kinds.setdefault((family_of(trial), None), {})[id(shared.distributions)] = shared.distributions
                self._drawn[family_of(trial)] += REJECTED not in trial.user_attrs

    def drawn(self) -> Counter[str]:
        """Count the points drawn of each family, but for those rejected; of those stopped, their second tries."""
        running = (
            family_of(trial)
            for trial in self._unfinished
            if trial.state != TrialState.WAITING
            and REJECTED not in trial.user_attrs
            and trial.number not in self._interrupted
        )
        return self._drawn + Counter(running)

    def finished(self, family: str, genes: Sequence[str] | None = None) -> list[FrozenTrial]:
        """Give the complete and failed trials of a family, in the order drawn; of some genes alone where given."""
        trials = self._finished.get(family, [])
        if genes is None:
            return list(trials)
        parts = self._parts.setdefault(tuple(genes), {})
        for trial in trials:
            if trial.number not in parts:
                part = parts[trial.number] = self._sharing(_of_genes(trial, genes))
                self._kinds.setdefault((family, tuple(genes)), {})[id(part.distributions)] = part.distributions
        return [parts[trial.number] for trial in trials]

    def comparable(self, family: str, genes: Genes, free: Sequence[str] | None = None) -> list[FrozenTrial]:
        """Leave out of the finished trials those drawn from other genes, as by a version whose space had others.

        Parameters
        ----------
        family
            Of the trials.
        genes
            That a trial has to have.
        free
            As :meth:`finished` takes it.
        """
        finished = self.finished(family, free)
        # To look at the genes of each trial took half of a draw.
        kinds = self._kinds.get((family, free if free is None else tuple(free)), {})
        same = {key for key, of in kinds.items() if _are_same(genes, of)}
        return finished if len(same) == len(kinds) else [one for one in finished if id(one.distributions) in same]

    def waiting(self) -> list[FrozenTrial]:
        """Give the trials that are yet to begin."""
        return [trial for trial in self._unfinished if trial.state == TrialState.WAITING]

    def _sharing(self, trial: FrozenTrial) -> FrozenTrial:
        """Give a trial whose genes are one and the same object as those of every trial that has them alike."""
        genes = trial.distributions
        facts = tuple((name, type(gene), *vars(gene).values()) for name, gene in genes.items())
        shared = copy(trial)
        shared.distributions = self._genes.setdefault(facts, genes)
        return shared

    def all(self, family: str) -> list[FrozenTrial]:
        """Give all trials of a family but those stopped, the unfinished last."""
        unfinished = (trial for trial in self._unfinished if family_of(trial) == family)
        return [*self.finished(family), *(one for one in unfinished if one.number not in self._interrupted)]


def _are_same(genes: Genes, others: Kind) -> bool:
    """Tell whether there are these genes and no others: a proposal that copies a trial would have them, too."""
    return len(genes) == len(others) and all(_is_same(gene, others.get(name)) for name, gene in genes.items())


def _is_same(gene: BaseDistribution, other: BaseDistribution | None) -> bool:
    return type(gene) is type(other) and vars(gene) == vars(other)


_TALLIES: WeakKeyDictionary[optuna.Study, Tally] = WeakKeyDictionary()


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _of_genes(trial: FrozenTrial, names: Sequence[str]) -> FrozenTrial:
    """Give a trial as one of some genes alone."""
    params, genes = trial.params, trial.distributions
    part = copy(trial)  # Optuna's create_trial validates it anew: of all trials, longer than most draws
    part.params = {name: params[name] for name in names if name in params}
    part.distributions = {name: genes[name] for name in part.params}
    return part
