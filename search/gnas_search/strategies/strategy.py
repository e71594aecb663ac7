"""Strategy: asks a study for its next trial, resumably and without hidden state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gnas_search.space import FamilySpace
from gnas_search.space.points import Point
from gnas_search.specs import FAMILIES
from gnas_search.strategies.proposer import REJECTED, Proposer

INTERRUPTED = "interrupted"
"""Attribute of an Optuna study: numbers of the trials stopped from outside; later trials repeat their points."""
FAMILY = "family"
"""Attribute of an Optuna trial: which family it was drawn from."""

_FINISHED = (TrialState.COMPLETE, TrialState.FAIL)


def interrupted_numbers(study: optuna.Study) -> set[int]:
    """Read which trials were stopped from outside."""
    # The study's own property copies all attributes, metrics of baselines and shortlists: a sixth of a draw's time.
    return set(study._storage.get_study_user_attrs(study._study_id).get(INTERRUPTED, ()))


def family_of(trial: FrozenTrial) -> str:
    """Tell which family a trial was drawn from."""
    return str(trial.user_attrs.get(FAMILY, ""))


def drawn_by_family(study: optuna.Study) -> Counter[str]:
    """Count the points drawn so far, but for those rejected; of those stopped from outside, their second tries."""
    interrupted = interrupted_numbers(study)
    return Counter(
        family_of(trial)
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.WAITING and REJECTED not in trial.user_attrs and trial.number not in interrupted
    )


@dataclass(frozen=True)
class Strategy:
    """Proposes points of one family of models to a study.

    Everything that a proposal rests on is in the study's storage, so a killed search goes on with the very sequence
    that it would have had: each draw is seeded by ``seed`` and how many points were drawn.

    Attributes
    ----------
    proposer
        Chooses the points.
    family
        Of :data:`gnas_search.specs.FAMILIES`; trials of other families are none of its business.
    space
        Every trial gets a value for each of its genes: proposers meet one fixed, unconditional vector.
    seed
        Of the whole sequence.
    """

    proposer: Proposer
    family: str
    space: FamilySpace
    seed: int

    def propose(
        self, study: optuna.Study, attempt: int = 0, *, base: Point | None = None, free: Sequence[str] = ()
    ) -> Point:
        """Choose the next point, with a value for every gene; the caller queues it.

        Parameters
        ----------
        study
            What was tried.
        attempt
            Counts from 0 the points of this draw that were of no use: each has a seed of its own.
        base, free
            Where ``base`` is given, the free genes alone are chosen, and the others are as there; the strategy sees the
            free genes of all trials.
        """
        entropy = self._entropy(study, *([attempt] if attempt else []))
        interrupted = interrupted_numbers(study)
        finished = [
            trial
            for trial in study.get_trials(deepcopy=False, states=_FINISHED)
            if family_of(trial) == self.family and trial.number not in interrupted
        ]
        seed = int(entropy.generate_state(1)[0])
        if base is None:
            oriented = [_maximised(trial, study.directions) for trial in finished]
            return self.proposer(oriented, self.space.genes, seed)
        genes = {name: self.space.genes[name] for name in free}
        # Of all architectures: a rate that went well with others is a better guess than none.
        oriented = [_of_genes(_maximised(trial, study.directions), free) for trial in finished]
        return {**base, **self.proposer(oriented, genes, seed)}

    def rng(self, study: optuna.Study) -> np.random.Generator:
        """Give the generator of what is drawn in the place of a proposal."""
        return np.random.default_rng(self._entropy(study, 0))

    def _entropy(self, study: optuna.Study, *further: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, FAMILIES.index(self.family), self.drawn(study), *further])

    def drawn(self, study: optuna.Study) -> int:
        """Count the points drawn so far, as :func:`drawn_by_family` does."""
        return drawn_by_family(study)[self.family]


def _of_genes(trial: FrozenTrial, names: Sequence[str]) -> FrozenTrial:
    """Give a trial as one of some genes alone."""
    params, genes = trial.params, trial.distributions
    part = copy(trial)  # Optuna's create_trial validates it anew: of all trials, longer than most draws
    part.params = {name: params[name] for name in names if name in params}
    part.distributions = {name: genes[name] for name in part.params}
    return part


def _maximised(trial: FrozenTrial, directions: list[StudyDirection]) -> FrozenTrial:
    """Give a trial whose values are the better the higher, as proposers read them."""
    if StudyDirection.MINIMIZE not in directions:
        return trial
    turned = copy(trial)
    turned.values = trial.values and [
        -value if direction == StudyDirection.MINIMIZE else value
        for value, direction in zip(trial.values, directions, strict=True)
    ]
    return turned
