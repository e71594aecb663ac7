"""FanOut: several watchers of one search; only the first may end it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from gnas_search.epoch import EpochResult
from gnas_search.expected_cost import Forecast
from gnas_search.specs import BranchSpec
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.study import Baseline, BlendRecord, Finalist, Measurement, Trial
from gnas_search.study.watcher import Watcher
from gnas_search.supernet import Step
from gnas_search.tracking.tracker import Tracker


class FanOut:
    """Tells several watchers what one is told.

    A tracker that fails (its disk is full, its server gone) is let go with a warning, once: a trial must not fail
    because of who looks on.

    Parameters
    ----------
    first
        What it raises ends the search.
    trackers
        The others; entered and left with the block.
    on_lost
        Is told which tracker was let go, and why.
    """

    def __init__(self, first: Watcher, trackers: Sequence[Tracker], *, on_lost: Callable[[str], None]) -> None:
        self._first = first
        self._trackers = list(trackers)
        self._on_lost = on_lost

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave every tracker, whatever becomes of the others."""
        with ExitStack() as stack:
            for tracker in self._trackers:
                stack.callback(self._safely, tracker, lambda one: one.__exit__(kind, error, trace))

    def baseline_measured(self, baseline: Baseline) -> None:
        """Tell all."""
        self._first.baseline_measured(baseline)
        self._tell(lambda one: one.baseline_measured(baseline))

    def baseline_left_out(self, name: str, reason: str) -> None:
        """Tell all."""
        self._first.baseline_left_out(name, reason)
        self._tell(lambda one: one.baseline_left_out(name, reason))

    def forecast_made(self, spec: BranchSpec, forecast: Forecast) -> None:
        """Tell all."""
        self._first.forecast_made(spec, forecast)
        self._tell(lambda one: one.forecast_made(spec, forecast))

    def supernet_moved(self, strategy: str, step: Step) -> None:
        """Tell all."""
        self._first.supernet_moved(strategy, step)
        self._tell(lambda one: one.supernet_moved(strategy, step))

    def supernet_ended(self, strategy: str, found: Shortlist) -> None:
        """Tell all."""
        self._first.supernet_ended(strategy, found)
        self._tell(lambda one: one.supernet_ended(strategy, found))

    def trial_started(self, number: int, spec: BranchSpec, finished: int, deadline: float | None) -> None:
        """Tell all."""
        self._first.trial_started(number, spec, finished, deadline)
        self._tell(lambda one: one.trial_started(number, spec, finished, deadline))

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        """Tell all."""
        self._first.epoch_ended(number, epoch)
        self._tell(lambda one: one.epoch_ended(number, epoch))

    def trial_ended(self, trial: Trial) -> None:
        """Tell all."""
        self._first.trial_ended(trial)
        self._tell(lambda one: one.trial_ended(trial))

    def finalists_chosen(self, networks: int, trainings: int, expected_s: float) -> None:
        """Tell all."""
        self._first.finalists_chosen(networks, trainings, expected_s)
        self._tell(lambda one: one.finalists_chosen(networks, trainings, expected_s))

    def finalist_repeated(self, key: str, seed: int, measured: Measurement) -> None:
        """Tell all."""
        self._first.finalist_repeated(key, seed, measured)
        self._tell(lambda one: one.finalist_repeated(key, seed, measured))

    def finalist_failed(self, key: str, seed: int, reason: str) -> None:
        """Tell all."""
        self._first.finalist_failed(key, seed, reason)
        self._tell(lambda one: one.finalist_failed(key, seed, reason))

    def finalists_decided(self, finalists: tuple[Finalist, ...]) -> None:
        """Tell all."""
        self._first.finalists_decided(finalists)
        self._tell(lambda one: one.finalists_decided(finalists))

    def finalists_undecided(self, late: int, trainings: int) -> None:
        """Tell all."""
        self._first.finalists_undecided(late, trainings)
        self._tell(lambda one: one.finalists_undecided(late, trainings))

    def blending(self, expected_s: float) -> None:
        """Tell all."""
        self._first.blending(expected_s)
        self._tell(lambda one: one.blending(expected_s))

    def blend_failed(self, reason: str) -> None:
        """Tell all."""
        self._first.blend_failed(reason)
        self._tell(lambda one: one.blend_failed(reason))

    def blended(self, found: tuple[BlendRecord, ...]) -> None:
        """Tell all."""
        self._first.blended(found)
        self._tell(lambda one: one.blended(found))

    def _tell(self, say: Callable[[Tracker], None]) -> None:
        for tracker in tuple(self._trackers):
            self._safely(tracker, say)

    def _safely(self, tracker: Tracker, say: Callable[[Tracker], None]) -> None:
        try:
            say(tracker)
        except Exception as error:  # noqa: BLE001  # the study goes on, whatever happens to those who look on
            if tracker in self._trackers:
                self._trackers.remove(tracker)
            self._on_lost(f"{tracker.name} is given up, the search goes on: {type(error).__name__}: {error}")
