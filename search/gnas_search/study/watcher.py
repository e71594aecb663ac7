"""Watcher: whoever follows a search as it happens."""

from __future__ import annotations

from typing import Protocol

from gnas_search.epoch import EpochResult
from gnas_search.expected_cost import Forecast
from gnas_search.specs import BranchSpec
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.study.finalists import Finalist
from gnas_search.study.measurement import Measurement
from gnas_search.study.records import Baseline, BlendRecord, Trial
from gnas_search.supernet import Step


class Watcher(Protocol):
    """Is told how a search goes on, as it happens."""

    def baseline_measured(self, baseline: Baseline) -> None:
        """Hear that a simple model was measured."""

    def baseline_left_out(self, name: str, reason: str) -> None:
        """Hear that a simple model does not go into memory; the search goes on without it."""

    def forecast_made(self, spec: BranchSpec, forecast: Forecast) -> None:
        """Hear, before the first trial of a run on a CPU, what the space's first network is expected to cost."""

    def supernet_moved(self, strategy: str, step: Step) -> None:
        """Hear that a supernet was trained for another epoch, or ranked another network; the first comes at 0."""

    def supernet_ended(self, strategy: str, found: Shortlist) -> None:
        """Hear what a supernet found, or why there is none; the search goes on by trials."""

    def trial_started(self, number: int, spec: BranchSpec, finished: int, deadline: float | None) -> None:
        """Hear that a trial begins.

        Parameters
        ----------
        number, spec
            Of the trial.
        finished
            How many others of the study have ended.
        deadline
            A ``time.monotonic()`` at which trials end, so that a blend can be made; None where only their number
            is limited.
        """

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        """Hear that a running trial was validated."""

    def trial_ended(self, trial: Trial) -> None:
        """Hear that a trial is complete, stopped at a rung, failed, a duplicate, or at the budget's end cut or lost."""

    def finalists_chosen(self, networks: int, trainings: int, expected_s: float) -> None:
        """Hear that the trials are over and some networks are trained again, from further seeds."""

    def finalist_repeated(self, key: str, seed: int, measured: Measurement) -> None:
        """Hear what one of them is worth from a further seed."""

    def finalist_failed(self, key: str, seed: int, reason: str) -> None:
        """Hear that one of them could not be trained from a further seed; the next run tries again."""

    def finalists_decided(self, finalists: tuple[Finalist, ...]) -> None:
        """Hear what they are worth on average, the best first."""

    def finalists_undecided(self, late: int, trainings: int) -> None:
        """Hear that one seed decides between them, as so many of their trainings did not fit into the time."""

    def blending(self, expected_s: float) -> None:
        """Hear that the best models are being blended, which takes about so many seconds."""

    def blend_failed(self, reason: str) -> None:
        """Hear that no blend could be made; the next run tries again."""

    def blended(self, found: tuple[BlendRecord, ...]) -> None:
        """Hear what came of it; empty where no blend pays."""
