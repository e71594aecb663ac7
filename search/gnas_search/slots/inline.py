"""The slot in the driver's own process: one trial at a time, with all of the machine's threads."""

from __future__ import annotations

import time

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
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
            on_epoch=on_epoch,
            deadline=job.deadline,
            limit_s=job.limit_s,
        )
        # The vectors stay behind: a study keeps figures, `train` makes models.
        self._outcome = Outcome(
            users=fit.metrics,
            best_epoch=fit.best_epoch,
            history=fit.history,
            stopped=fit.stopped,
            num_parameters=fit.num_parameters,
            seconds=time.monotonic() - started,
        )
        return False

    def result(self) -> Outcome:
        """Give the outcome of the job."""
        if self._outcome is None:
            raise ValueError("the job has not ended")
        return self._outcome
