"""Slot: the place where one trial at a time is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gnas_search.evaluate import UserMetrics
from gnas_search.fit import Fit
from gnas_search.specs import BranchSpec
from gnas_search.train import EpochResult

OnEpoch = Callable[[EpochResult], None]


@dataclass(frozen=True)
class Job:
    """What a slot is to train.

    Attributes
    ----------
    spec
        The model.
    seed
        Of its training.
    deadline
        A ``time.monotonic()`` at which training stops; None never.
    limit_s
        Seconds after which training stops too, once its first epoch is done; None never.
    """

    spec: BranchSpec
    seed: int
    deadline: float | None
    limit_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a slot found.

    Attributes
    ----------
    users
        Validation metrics of the best epoch.
    best_epoch
        From 1; 0 for closed forms, and where the deadline came before the first validation, so that nothing is known.
    history
        Every epoch.
    stopped
        ``"epochs"``, ``"patience"`` or ``"deadline"``; empty for closed forms.
    num_parameters
        Numbers that training adjusts.
    seconds
        Wall time.
    peak_bytes
        The most memory that the process, or its CUDA device, has held until its end: trials before it count.
    fit
        The model itself, for a blend.
    """

    users: UserMetrics
    best_epoch: int
    history: tuple[EpochResult, ...]
    stopped: str
    num_parameters: int
    seconds: float
    peak_bytes: int
    fit: Fit

    @property
    def is_empty(self) -> bool:
        """Whether time ran out before anything was known."""
        return self.stopped == "deadline" and self.best_epoch == 0


class Slot(Protocol):
    """Trains one job after another; the driver alone asks, reports, and writes the study."""

    def start(self, job: Job) -> None:
        """Take a job; the one before it is forgotten."""

    def advance(self, on_epoch: OnEpoch) -> bool:
        """Train up to the slot's next rung.

        Parameters
        ----------
        on_epoch
            Called after every validation, in the driver's process.

        Returns
        -------
        bool
            Whether there is more to train; once False, :meth:`result` is there.
        """

    def result(self) -> Outcome:
        """Give the outcome of a job that has ended."""

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before, again."""
