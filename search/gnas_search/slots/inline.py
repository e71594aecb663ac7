"""The slot in the driver's own process: one trial at a time, with all of the machine's threads."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.initial_weights import InitialWeights
from gnas_search.selection import Selected, Selecting, fit_selected, selecting
from gnas_search.slots.slot import Event, Failure, Job, Result
from gnas_search.specs import GNN, BranchSpec, kind_of


@dataclass
class _UnderWay:
    """A job, and what it has come to."""

    job: Job
    steps: Selecting
    started: float
    epochs: int = 0
    replied: bool = False
    go_on: bool = True


class InlineSlot:
    """Trains where the driver runs.

    Parameters
    ----------
    graph
        What to train on.
    validation
        What to select the best epoch by.
    """

    count = 1

    def __init__(self, graph: InteractionGraph, validation: Validation) -> None:
        self._graph = graph
        self._validation = validation
        self._spectra: Spectra | None = None
        self._now: _UnderWay | None = None

    def has_room(self, place: int, spec: BranchSpec) -> bool:  # noqa: ARG002  # as the protocol has it
        """Tell that whatever is trained here is alone."""
        return True

    def start(self, place: int, job: Job) -> None:
        """Take a job; the one before it has ended.

        Raises
        ------
        ValueError
            If it has not, or there is no such place.
        """
        if place != 0 or self._now is not None:
            raise ValueError(f"place {place} is not free")
        self._now = _UnderWay(job, self._selecting(job), time.monotonic())

    def _selecting(self, job: Job) -> Selecting:
        """Fit a job's model; a damaged file of initial weights is the job's failure, like all that comes after."""
        return (
            yield from selecting(
                job.spec,
                self._graph,
                self._validation,
                seed=job.seed,
                spectra=self._spectra_of(job.seed),
                deadline=job.deadline,
                limit_s=job.limit_s,
                initial=_initial(job),
                keep_weights=True,
            )
        )

    def wait(self) -> tuple[int, Event]:
        """Train the job's next epoch, or a closed form to its end.

        Raises
        ------
        ValueError
            If there is no job, or the last epoch was not replied to.
        """
        now = self._now
        if now is None:
            raise ValueError("no job was started")
        if now.epochs and not now.replied:
            raise ValueError("an epoch was not replied to")
        now.replied = False
        try:
            epoch = now.steps.send(now.go_on) if now.epochs else next(now.steps)
        except StopIteration as ended:
            self._now = None
            return 0, _result(ended.value, now)
        except Exception as error:  # noqa: BLE001  # the trial boundary: whatever a trial does, the study goes on
            self._now = None
            return 0, Failure(f"{type(error).__name__}: {error}")
        except BaseException:
            self.close()
            raise
        now.epochs += 1
        return 0, epoch

    def reply(self, place: int, *, go_on: bool) -> None:
        """Say whether the job trains another epoch.

        Raises
        ------
        ValueError
            If nothing was asked.
        """
        if place != 0 or self._now is None or not self._now.epochs or self._now.replied:
            raise ValueError(f"place {place} has asked nothing")
        self._now.replied, self._now.go_on = True, go_on

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before, again."""
        return fit_selected(
            job.spec,
            self._graph,
            self._validation,
            seed=job.seed,
            spectra=self._spectra_of(job.seed),
            initial=_initial(job),
        ).fit

    def close(self) -> None:
        """Forget the job under way."""
        if self._now is not None:
            self._now.steps.close()
            self._now = None

    def _spectra_of(self, seed: int) -> Spectra:
        if self._spectra is None or self._spectra.seed != seed:
            self._spectra = Spectra(self._graph, seed)
        return self._spectra


def _initial(job: Job) -> InitialWeights | None:
    return None if job.initial is None else InitialWeights.load(job.initial)


def _result(found: Selected, under_way: _UnderWay) -> Result:
    return Result(
        users=found.metrics,
        best_epoch=found.best_epoch,
        history=found.history,
        stopped=found.stopped,
        num_parameters=found.num_parameters,
        seconds=time.monotonic() - under_way.started,
        peak_bytes=found.peak_bytes,
        fit=found.fit if kind_of(under_way.job.spec) == GNN else None,
        weights=found.weights,
    )
