"""Slots: the places where trials are trained, each one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gnas_search.epoch import EpochResult
from gnas_search.evaluate import Floats, UserMetrics
from gnas_search.fit import Fit
from gnas_search.specs import BranchSpec


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
    initial
        File of the :class:`~gnas_search.initial_weights.InitialWeights` that the network begins with; None for none. A
        path is sent to another process in no time.
    """

    spec: BranchSpec
    seed: int
    deadline: float | None
    limit_s: float | None = None
    initial: Path | None = None


@dataclass(frozen=True)
class Result:
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
        ``"epochs"``, ``"patience"``, ``"deadline"`` or ``"rung"``; empty for closed forms.
    num_parameters
        Numbers that training adjusts.
    seconds
        Wall time.
    peak_bytes
        The most memory that the process, or its CUDA device, has held until its end: trials before it count.
    fit
        Of a network: the model itself, for a blend. A closed form is fitted again in less time than it takes to keep.
    weights
        Of a network: the parameters of its best epoch by name, for a warm start; None where there are none.
    """

    users: UserMetrics
    best_epoch: int
    history: tuple[EpochResult, ...]
    stopped: str
    num_parameters: int
    seconds: float
    peak_bytes: int
    fit: Fit | None
    weights: Mapping[str, Floats] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether time ran out before anything was known."""
        return self.stopped == "deadline" and self.best_epoch == 0


@dataclass(frozen=True)
class Failure:
    """Why a job came to nothing.

    Attributes
    ----------
    reason
        For people.
    is_overdue
        Whether the time was up, which is no fault of the model: the next run tries it again.
    """

    reason: str
    is_overdue: bool = False


Event = EpochResult | Result | Failure
"""What a slot has to say: an epoch is done, and it waits to be told whether to go on; or its job has ended."""


class Slots(Protocol):
    """One or more places to train in; the driver alone asks, decides, and writes the study."""

    @property
    def count(self) -> int:
        """How many jobs can be under way."""

    def has_room(self, place: int, spec: BranchSpec) -> bool:
        """Tell whether the memory holds a model's training beside what is under way; alone it may always start.

        Parameters
        ----------
        place
            Where it would be trained: a free one.
        spec
            What would be trained.
        """

    def start(self, place: int, job: Job) -> None:
        """Take a job.

        Parameters
        ----------
        place
            0 to ``count - 1``; one whose last job has ended.
        job
            What to train there.
        """

    def wait(self) -> tuple[int, Event]:
        """Wait until one of the places has something to say: its number, and what."""

    def reply(self, place: int, *, go_on: bool) -> None:
        """Tell a place that has said how an epoch went whether to train another."""

    def fit(self, job: Job) -> Fit:
        """Make the fit of a job that was measured before, again."""

    def close(self) -> None:
        """End what is under way, and let go of what the slots hold."""
