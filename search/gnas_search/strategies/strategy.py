"""Strategy: asks a study for its next trial, resumably and without hidden state."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from gnas_search.space import FamilySpace
from gnas_search.space.points import Point
from gnas_search.specs import FAMILIES
from gnas_search.strategies.proposer import Proposer
from gnas_search.strategies.tally import Tally


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
        """Choose the next point, with a value for every gene; the caller begins its trial.

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
        # Of all architectures: a rate that went well with others is a better guess than none.
        genes = self.space.genes if base is None else {name: self.space.genes[name] for name in free}
        oriented = Tally.of(study).comparable(self.family, genes, None if base is None else free)
        if StudyDirection.MINIMIZE in study.directions:
            oriented = [_maximised(trial, study.directions) for trial in oriented]
        return {**(base or {}), **self.proposer(oriented, genes, int(entropy.generate_state(1)[0]))}

    def rng(self, study: optuna.Study) -> np.random.Generator:
        """Give the generator of what is drawn in the place of a proposal."""
        return np.random.default_rng(self._entropy(study, 0))

    def _entropy(self, study: optuna.Study, *further: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, FAMILIES.index(self.family), self.drawn(study), *further])

    def drawn(self, study: optuna.Study) -> int:
        """Count the points drawn so far, but for those rejected; of those stopped from outside, their second tries."""
        return Tally.of(study).drawn()[self.family]


def _maximised(trial: FrozenTrial, directions: list[StudyDirection]) -> FrozenTrial:
    """Give a trial whose values are the better the higher, as proposers read them."""
    turned = copy(trial)
    turned.values = trial.values and [
        -value if direction == StudyDirection.MINIMIZE else value
        for value, direction in zip(trial.values, directions, strict=True)
    ]
    return turned
