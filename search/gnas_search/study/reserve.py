"""Reserve: how long what comes after the trials of a search will take, by what was measured so far."""

from __future__ import annotations

import math
from bisect import insort

from gnas_search.specs import GNN, kind_of
from gnas_search.study.finalists import Plan, Ranked, seconds_of
from gnas_search.study.measurement import Measurement
from gnas_search.study.records import Trial
from gnas_search.study.study import Study

_FITS = 2.0
"""Fits of the parts: each is made once more for the blend, and scores everybody as part of it."""
_VALIDATIONS = 30.0
"""Of the quickest model. Measured on eight data sets, the two together are 0.6 to 2.5 times too little, 1.1 in the
middle."""


_USERS = 8192  # so many decided these blends, where there were enough


class Reserve:
    """Estimates the seconds of training finalists again, and of a blend of the best model of each kind.

    Parameters
    ----------
    study
        As it was when the run began, baselines included.
    users
        By how many the blend is decided.
    slots
        That finalists are trained in.
    """

    def __init__(self, study: Study, users: int, slots: int = 1) -> None:
        self._seed = study.header.seed
        self._slots = slots
        self._networks: list[Ranked] = []
        self._repeats = frozenset(study.repeats)
        self._finalists_s: float | None = None
        self._scale = max(1.0, users / _USERS)
        self._best: dict[str, tuple[float, float]] = {}
        self._quickest_s = min((one.measured.seconds for one in study.baselines), default=0.0)
        for baseline in study.baselines:
            self._hear(kind_of(baseline.spec), baseline.measured)
        for trial, measured in study.ranking:
            self.hear(trial, measured)

    def hear(self, trial: Trial, measured: Measurement) -> None:
        """Take a measured trial into account."""
        self._hear(trial.kind, measured)
        if trial.kind == GNN:
            insort(self._networks, (trial, measured), key=lambda ranked: -ranked[1].quality.value)
            self._finalists_s = None

    def _hear(self, kind: str, measured: Measurement) -> None:
        if measured.ndcg.value > 0.0 and measured.quality.value > self._best.get(kind, (-math.inf, 0.0))[0]:
            self._best[kind] = measured.quality.value, _again_s(measured)

    @property
    def finalists_s(self) -> float:
        """What training the finalists again will take, but for what an earlier run trained."""
        if self._finalists_s is None:  # asked twice per trial
            plan = Plan.of(self._networks, self._seed, by_time=True)
            self._finalists_s = 0.0 if plan is None else seconds_of(plan.missing(self._repeats)) / self._slots
        return self._finalists_s

    @property
    def blend_s(self) -> float:
        """What a blend of the models heard of so far will take."""
        fits_s = _FITS * sum(seconds for _, seconds in self._best.values())
        return fits_s + self._scale * _VALIDATIONS * self._quickest_s


def _again_s(measured: Measurement) -> float:
    """Say how long a model takes again: a closed form is fitted anew, of a network the kept vectors are measured."""
    if not measured.history:
        return measured.seconds
    epochs = measured.history
    return sum(max(0.0, epoch["seconds"] - epoch["train_s"]) for epoch in epochs) / len(epochs)
