"""Strategy: asks a study for its next trial, resumably and without hidden state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from gnas_search.space import SearchSpace

INTERRUPTED = "interrupted"
"""Attribute of an Optuna study: numbers of the trials stopped from outside; later trials repeat their points."""
_DRAWN = tuple(state for state in TrialState if state != TrialState.WAITING)


def interrupted_numbers(study: optuna.Study) -> set[int]:
    """Read which trials were stopped from outside."""
    return set(study.user_attrs.get(INTERRUPTED, ()))


@dataclass(frozen=True)
class Strategy:
    """Proposes points of a space to a study.

    Everything that a proposal rests on is in the study's storage, so a killed search goes on with the very sequence
    that it would have had: the sampler of each draw is made anew, seeded by ``seed`` and how many points were drawn.

    Attributes
    ----------
    sampler
        Makes an Optuna sampler from a seed.
    space
        Every trial gets a value for each of its genes: samplers meet one fixed, unconditional vector.
    seed
        Of the whole sequence.
    """

    sampler: Callable[[int], BaseSampler]
    space: SearchSpace
    seed: int

    def ask(self, study: optuna.Study) -> optuna.trial.Trial:
        """Draw the next trial: an enqueued one where there is any, else the sampler's choice.

        Returns
        -------
        optuna.trial.Trial
            Its ``params`` hold a value for every gene; the caller tells the study how it went.
        """
        entropy = np.random.SeedSequence([self.seed, self.drawn(study)])
        study.sampler = self.sampler(int(entropy.generate_state(1)[0]))
        return study.ask(dict(self.space.genes))

    @staticmethod
    def drawn(study: optuna.Study) -> int:
        """Count the points drawn so far; those stopped from outside count once they are tried again."""
        trials = study.get_trials(deepcopy=False, states=_DRAWN)
        return len({trial.number for trial in trials} - interrupted_numbers(study))
