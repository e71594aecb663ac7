"""Watcher: whoever follows a search as it happens."""

from __future__ import annotations

from typing import Protocol

from gnas_search.architecture import ArchitectureSpec
from gnas_search.study.records import Baseline, Trial
from gnas_search.train import EpochResult


class Watcher(Protocol):
    """Is told how a search goes on, as it happens."""

    def baseline_measured(self, baseline: Baseline) -> None:
        """Hear that a simple model was measured."""

    def trial_started(self, number: int, spec: ArchitectureSpec, finished: int) -> None:
        """Hear that a trial begins; ``finished`` others of the study have ended."""

    def epoch_ended(self, epoch: EpochResult) -> None:
        """Hear that the running trial was validated."""

    def trial_ended(self, trial: Trial) -> None:
        """Hear that a trial is complete, failed, a duplicate, or stopped by the budget: cut or interrupted."""
