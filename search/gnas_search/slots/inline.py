"""The slot in the driver's own process: one trial at a time, with all of the machine's threads."""

from __future__ import annotations

import time

from gnas_search.closed_form import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit
from gnas_search.slots.slot import Job, OnEpoch, Outcome
from gnas_search.train import fit_selected


class InlineSlot:
    """Trains where the driver runs; its one rung is the whole of training.

    Parameters
    ----------
    graph
        What to train on.
    validation
        What to select the best epoch by.
    """

    def __init__(self, graph: InteractionGraph, validation: Validation) -> None:
        self._graph = graph
        self._validation = validation
        self._spectra: Spectra | None = None
        self._job: Job | None = None
        self._outcome: Outcome | None = None

    def start(self, job: Job) -> None:
        """Take a job; the one before it is forgotten."""
        self._job, self._outcome = job, None

    def advance(self, on_epoch: OnEpoch) -> bool:
        """Train to the end, the deadline included; give False."""
        job = self._job
        if job is None:
            raise ValueError("no job was started")
        started = time.monotonic()
        fit = fit_selected(
            job.spec,
            self._graph,
            self._validation,
            seed=job.seed,
            spectra=self._spectra_of(job.seed),
            on_epoch=on_epoch,
            deadline=job.deadline,
            limit_s=job.limit_s,
        )
        self._outcome = Outcome(
            users=fit.metrics,
            best_epoch=fit.best_epoch,
            history=fit.history,
            stopped=fit.stopped,
            num_parameters=fit.num_parameters,
            seconds=time.monotonic() - started,
            peak_bytes=fit.peak_bytes,
            fit=fit.fit,
        )
        return False

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before, again."""
        return fit_selected(
            job.spec, self._graph, self._validation, seed=job.seed, spectra=self._spectra_of(job.seed)
        ).fit

    def _spectra_of(self, seed: int) -> Spectra:
        if self._spectra is None or self._spectra.seed != seed:
            self._spectra = Spectra(self._graph, seed)
        return self._spectra

    def result(self) -> Outcome:
        """Give the outcome of the job."""
        if self._outcome is None:
            raise ValueError("the job has not ended")
        return self._outcome
