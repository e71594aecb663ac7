"""How a search goes on: a live line on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from rich.console import Console

from gnas_serve.cli.progress_lines import ProgressLines

if TYPE_CHECKING:
    from gnas_search.epoch import EpochResult
    from gnas_search.expected_cost import Forecast
    from gnas_search.specs import BranchSpec
    from gnas_search.strategies.shortlist import Shortlist
    from gnas_search.study import Baseline, BlendRecord, Finalist, Limits, Measurement, Objectives, Trial
    from gnas_search.supernet import Step


_BLEND = -1
_SUPERNET = -2
_FINALISTS = -3
"""Numbers of the bars of the blend, the supernet and the finalists: of no trial."""


class SearchProgress(ProgressLines):
    """Follows a search: trial, epoch, best so far, time left.

    Parameters
    ----------
    console
        On stderr.
    limits
        Of the run, for the time left until trials end.
    best
        The best of what models are chosen by that earlier runs of the study found, the higher the better; None where
        there is none.
    objectives
        Of the study.
    slots
        How many trials run at a time.
    """

    def __init__(
        self, console: Console, limits: Limits, *, best: float | None, objectives: Objectives, slots: int = 1
    ) -> None:
        super().__init__(console)
        self._slots = slots
        self._objectives = objectives
        self._metric, self._sign = objectives.first, objectives.sign(objectives.first)
        self._trials = limits.trials
        self._deadline = limits.deadline
        self._best = -math.inf if best is None else best
        self._finished = 0
        self._seconds: list[float] = []
        self._repeats = 0
        self._repeated = 0

    def baseline_measured(self, baseline: Baseline) -> None:
        """Say how good a simple model is."""
        measured = baseline.measured
        self._best = max(self._best, measured.quality.value)
        self.say(f"{baseline.name}: {self._found(measured)}, {measured.seconds:.1f} s")

    def baseline_left_out(self, name: str, reason: str) -> None:
        """Say why a simple model is missing."""
        self.say(f"{name}: left out: {reason}")

    def forecast_made(self, spec: BranchSpec, forecast: Forecast) -> None:
        """Say what a network will cost."""
        gib = forecast.peak_bytes / (1 << 30)
        self.say(f"forecast: {forecast.epoch_said} s per epoch, {gib:.1f} GiB | {spec.summary()}")

    def supernet_moved(self, strategy: str, step: Step) -> None:
        """Move the supernet's bar; its beginning is a line."""
        if step.done == 0:
            self.say(f"{strategy} supernet: up to {step.total} epochs")
        if step.done == 0 or (step.stage == "network" and step.done == 1):
            self.end_bar(_SUPERNET)
            self.begin_bar(_SUPERNET, f"{strategy} supernet", step.total)
        if step.stage == "epoch":
            state = f"epoch {step.done} of {step.total}" + (f", loss {step.value:.4f}" if step.done else "")
        else:
            best = f"{self._metric} {self._sign * step.value:.4f}"
            state = f"network {step.done} of {step.total}, best {best} by shared weights"
        self.move_bar(_SUPERNET, step.done, state)

    def supernet_ended(self, strategy: str, found: Shortlist) -> None:
        """Say what the supernet found."""
        self.end_bar(_SUPERNET)
        if found.reason:
            self.say(f"{strategy} supernet: none: {found.reason}")
            return
        done = f"{found.epochs} epochs, {found.ranked} networks ranked, {found.seconds:.1f} s"
        best = f"{self._metric} {self._sign * found.listed[0].worth:.4f} by shared weights"
        self.say(f"{strategy} supernet: {done} | {len(found.listed)} listed, the first {best}")

    def trial_started(self, number: int, spec: BranchSpec, finished: int, deadline: float | None) -> None:
        """Show a bar for the trial."""
        self._finished, self._deadline = finished, deadline
        self.begin_bar(number, f"trial {number}: {spec.summary()}", getattr(spec, "epochs", 1))

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        """Move the trial's bar."""
        if self.is_silent:
            return
        left = self._time_left()
        best = f", best {self._sign * self._best:.4f}" if self._best > -math.inf else ""
        value = f"{self._metric} {self._sign * epoch.worth:.4f}"
        state = f"epoch {epoch.epoch}, {value}{best}{', ' if left else ''}{left}"
        self.move_bar(number, epoch.epoch, state)

    def trial_ended(self, trial: Trial) -> None:
        """Say how the trial went."""
        self.end_bar(trial.number)
        if trial.duplicate_of is not None:
            if not self._repeated:
                self.say(f"trial {trial.number} repeats trial {trial.duplicate_of}: not trained again")
            self._repeated += 1
            return
        self._tell_repeats()
        what = trial.spec.summary() if trial.spec is not None else ""
        measured = trial.measured
        if measured is None or trial.state == "infeasible":
            reason = f": {trial.reason}" if trial.reason else ""
            self.say(f"trial {trial.number} {trial.state}{reason} | {what}")
            return
        self._best = max(self._best, measured.quality.value)
        self._seconds.append(measured.seconds)
        epoch = f" at epoch {measured.best_epoch}" if measured.epochs else ""
        found = f"{self._found(measured, epoch)}, {measured.seconds:.1f} s"
        if trial.state in {"cut", "stopped"}:
            found += f", {trial.state} after {len(measured.history)} of {measured.epochs} epochs"
        line = f"trial {trial.number}: {found} | {what} | best {self._sign * self._best:.4f}"
        self._finished += 1
        left = self._time_left()
        self.say(f"{line}{' | ' if left else ''}{left}")

    def finalists_chosen(self, networks: int, trainings: int, expected_s: float) -> None:
        """Say how many networks are trained again, and how long that takes."""
        self._tell_repeats()
        self._repeats = 0
        again = f"{networks} networks again, {trainings} trainings from further seeds"
        self.say(f"finalists: {again}, about {max(1.0, expected_s):.0f} s")
        self.begin_bar(_FINALISTS, f"training {networks} finalists again", trainings)

    def finalist_repeated(self, key: str, seed: int, measured: Measurement) -> None:
        """Say what one of them is worth from a further seed."""
        self._repeats += 1
        self.move_bar(_FINALISTS, self._repeats, f"{self._metric} {self._sign * measured.quality.value:.4f}")
        self.say(f"finalist {key} from seed {seed}: {self._found(measured)}, {measured.seconds:.1f} s")

    def finalist_failed(self, key: str, seed: int, reason: str) -> None:
        """Say why there is none."""
        self.say(f"finalist {key} from seed {seed} failed: {reason}")

    def finalists_decided(self, finalists: tuple[Finalist, ...]) -> None:
        """Say which of them is best on average."""
        best, *others = finalists
        means = ", ".join(f"{one.trial.key} {self._sign * one.mean:.4f}" for one in others)
        mean = f"mean {self._metric} {self._sign * best.mean:.4f} over {len(best.seeds)} seeds"
        self.say(f"finalists: {best.trial.key} is best: {mean}; {means}")

    def finalists_undecided(self, late: int, trainings: int) -> None:
        """Say why one seed decides between them."""
        why = "there is no further one from which all were trained"
        if late:
            why = f"{late} of {trainings} trainings did not fit into the time"
        self.say(f"finalists: one seed decides: {why}")

    def blending(self, expected_s: float) -> None:
        """Say that the blend is being made, and how long that takes."""
        self._tell_repeats()
        self.end_bar(_FINALISTS)
        self.say(f"blending: about {max(1.0, expected_s):.0f} s")
        self.begin_bar(_BLEND, "blending the best models", 1)

    def blend_failed(self, reason: str) -> None:
        """Say why there is no blend."""
        self.end_bar(_BLEND)
        self.say(f"blend: failed: {reason}")

    def blended(self, found: tuple[BlendRecord, ...]) -> None:
        """Say what came of it."""
        self.end_bar(_BLEND)
        if not found:
            self.say("blend: none is better than its best part")
        for record in found:
            measured = record.measured
            self._best = max(self._best, measured.quality.value)
            self.say(f"blend: {self._found(measured)}, {measured.seconds:.1f} s | {record.spec.summary()}")

    def _tell_repeats(self) -> None:
        """Say how many trials have repeated others since the one that was said to."""
        if self._repeated > 1:
            self.say(f"so do {self._repeated - 1} after it")
        self._repeated = 0

    def _found(self, measured: Measurement, epoch: str = "") -> str:
        """Say the value of every objective, the first with the epoch that it is of."""
        values = [(name, measured.value_of(name)) for name in self._objectives.names]
        said = [f"{name} {value:.{4 if abs(value) < 10 else 0}f}" for name, value in values if value is not None]
        return ", ".join([f"{said[0]}{epoch}", *said[1:]])

    def _time_left(self) -> str:
        estimates = []
        if self._deadline is not None:
            estimates.append(max(0.0, self._deadline - time.monotonic()))
        if self._trials is not None and self._seconds:
            mean, left = sum(self._seconds) / len(self._seconds), max(0, self._trials - self._finished)
            estimates.append(mean * left / max(1, min(self._slots, left)))
        if not estimates:
            return ""
        left_s = min(estimates)
        if left_s < 0.5:
            return ""
        return f"about {left_s:.0f} s left" if left_s < 100 else f"about {left_s / 60:.0f} min left"
