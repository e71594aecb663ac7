"""Tracker: follows a search and logs every model of it as a run, wherever runs are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from gnas_search.epoch import EpochResult
from gnas_search.expected_cost import Forecast
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.study import Baseline, BlendRecord, Finalist, Measurement, Trial
from gnas_search.study.finalists import repeat_name
from gnas_search.study.traits import Trait, traits
from gnas_search.supernet import Step


@dataclass(frozen=True)
class Run:
    """One model that is logged.

    Attributes
    ----------
    name
        Unique within the study, in the order of the trials: its number and key, or the name of a baseline or blend.
    kind
        ``"baseline"``, or of the model.
    traits
        Its settings.
    """

    name: str
    kind: str
    traits: Mapping[str, Trait] = field(default_factory=dict)


class RunLog(Protocol):
    """Where one run is logged."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log the values of an epoch."""

    def close(self, results: Mapping[str, float], state: str, reason: str) -> None:
        """Log what came of it, and end it.

        Parameters
        ----------
        results
            Final values; empty where nothing was measured.
        state
            One of :data:`gnas_search.study.records.STATES`.
        reason
            Why it failed; empty where it did not.
        """


class RunLogs(Protocol):
    """Where runs are logged."""

    def open(self, run: Run) -> RunLog:
        """Begin the log of a run."""


class Tracker:
    """A watcher that logs a run per model: scalars per epoch, settings and results.

    Parameters
    ----------
    name
        What messages call it.
    logs
        Where to.
    """

    def __init__(self, name: str, logs: RunLogs) -> None:
        self.name = name
        self._logs = logs
        self._open: dict[int, RunLog] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the runs of trials that the search was stopped in."""
        for number in tuple(self._open):
            self._close(number, {}, "interrupted", "")

    def baseline_measured(self, baseline: Baseline) -> None:
        """Log a simple model."""
        self._whole(Run(f"baseline-{baseline.name}", "baseline", traits(baseline.spec)), _results(baseline.measured))

    def baseline_left_out(self, name: str, reason: str) -> None:
        """Log that there was no memory for it."""
        self._logs.open(Run(f"baseline-{name}", "baseline")).close({}, "failed", reason)

    def forecast_made(self, spec: BranchSpec, forecast: Forecast) -> None:
        """Log nothing: a forecast is no run."""

    def supernet_moved(self, strategy: str, step: Step) -> None:
        """Log nothing: what counts of a supernet is what it lists."""

    def supernet_ended(self, strategy: str, found: Shortlist) -> None:
        """Log what a supernet took, or why there is none."""
        results = {} if found.reason else {"final/shared_worth": found.listed[0].worth, "final/seconds": found.seconds}
        log = self._logs.open(Run(f"supernet-{strategy}", "supernet"))
        log.close(results, "failed" if found.reason else "complete", found.reason)

    def trial_started(self, number: int, spec: BranchSpec, finished: int, deadline: float | None) -> None:  # noqa: ARG002
        """Begin a run."""
        self._open[number] = self._logs.open(Run(f"{number:04d}-{spec.key()}", kind_of(spec), traits(spec)))

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        """Log an epoch."""
        values = {"loss": epoch.loss, "ndcg@20": epoch.ndcg, "seconds": epoch.seconds}
        if epoch.quality is not None:
            values["quality"] = epoch.quality
        self._open[number].log(values, epoch.epoch)

    def trial_ended(self, trial: Trial) -> None:
        """End the run; a duplicate has none, for its twin has one."""
        self._close(trial.number, {} if trial.measured is None else _results(trial.measured), trial.state, trial.reason)

    def finalists_chosen(self, networks: int, trainings: int, expected_s: float) -> None:
        """Log nothing: each of their trainings is a run."""

    def finalist_repeated(self, key: str, seed: int, measured: Measurement) -> None:
        """Log a training from a further seed."""
        self._whole(Run(repeat_name(key, seed), GNN, {"seed": seed}), _results(measured))

    def finalist_failed(self, key: str, seed: int, reason: str) -> None:
        """Log why there is none."""
        self._logs.open(Run(repeat_name(key, seed), GNN, {"seed": seed})).close({}, "failed", reason)

    def finalists_decided(self, finalists: tuple[Finalist, ...]) -> None:
        """Log nothing: what they are worth from each seed is logged."""

    def finalists_undecided(self, late: int, trainings: int) -> None:
        """Log nothing: those that there are are logged."""

    def blending(self, expected_s: float) -> None:
        """Log nothing: of a blend is nothing known yet."""

    def blend_failed(self, reason: str) -> None:
        """Log why there is none."""
        self._logs.open(Run("blend", "blend")).close({}, "failed", reason)

    def blended(self, found: tuple[BlendRecord, ...]) -> None:
        """Log the blends, with the weights of their parts for settings."""
        for record in found:
            weights: dict[str, Trait] = {f"weight of {kind_of(one.spec)}": one.weight for one in record.spec.shares}
            if record.spec.dims is not None:
                weights["dims"] = record.spec.dims
            results = {**_results(record.measured), "final/scan_us": record.scan_us}
            self._whole(Run(record.key, "blend", weights), results)

    def _whole(self, run: Run, results: Mapping[str, float]) -> None:
        self._logs.open(run).close(results, "complete", "")

    def _close(self, number: int, results: Mapping[str, float], state: str, reason: str) -> None:
        log = self._open.pop(number, None)
        if log is not None:
            log.close(results, state, reason)


def _results(measured: Measurement) -> dict[str, float]:
    return {
        "final/ndcg@20": measured.ndcg.value,
        "final/recall@20": measured.recall.value,
        "final/seconds": measured.seconds,
        "final/parameters": float(measured.parameters),
        "final/best_epoch": float(measured.best_epoch),
        **{f"final/{name}": value for name, value in measured.values.items()},
    }
