"""Workshop: what one run of a study works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.slots import Job, Slots
from gnas_search.specs import BranchSpec
from gnas_search.study.header import StudyHeader
from gnas_search.study.interruption import SignalHold
from gnas_search.study.kept import KeptModels
from gnas_search.study.kept_weights import KeptWeights
from gnas_search.study.meter import CostMeter
from gnas_search.study.study import Study
from gnas_search.study.warm_start import WarmStart
from gnas_search.study.watcher import Watcher


@dataclass(frozen=True)
class Workshop:
    """What one run of a study works with; it holds the study's writer lock.

    Attributes
    ----------
    folder, header
        Of the study.
    journal
        The Optuna study behind it, written by this run alone.
    graph, validation
        What models are fitted to and compared by.
    fresh
        Users who have no part in these comparisons, where there are enough.
    slots
        Where they are trained.
    watcher
        Is told how it goes.
    hold
        Is released for whatever takes long.
    kept
        The best networks so far.
    weights
        Of the best networks so far.
    warm
        What the study was started from.
    meter
        Of what models cost to serve, where that matters to the study.
    """

    folder: Path
    header: StudyHeader
    journal: optuna.Study
    graph: InteractionGraph
    validation: Validation
    fresh: Validation | None
    slots: Slots
    watcher: Watcher
    hold: SignalHold
    kept: KeptModels
    weights: KeptWeights
    warm: WarmStart
    meter: CostMeter | None = None

    @property
    def judges(self) -> Validation:
        """The users by whom a blend is decided."""
        return self.validation if self.fresh is None else self.fresh

    @property
    def seed(self) -> int:
        """Of the study."""
        return self.header.seed

    def costs_of(self, fit: Callable[[], Fit]) -> Mapping[str, float]:
        """Measure what a model costs to serve, where that matters.

        Parameters
        ----------
        fit
            Makes it, where it is needed.
        """
        return {} if self.meter is None else self.meter(fit())

    def job(self, spec: BranchSpec, deadline: float | None = None, limit_s: float | None = None) -> Job:
        """Say what a slot is to train: a model of the study, always from the same beginning."""
        return Job(spec, self.seed, deadline, limit_s, self.warm.initial_file(spec))

    def study(self) -> Study:
        """Read the study as it is now."""
        return Study(self.folder, self.header, self.journal)
