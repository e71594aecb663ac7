"""Course: how long a supernet is trained, and how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.objective import users_per_batch
from gnas_serve.errors import NoViableTrialError

LEAST_BATCHES = 100
"""Of the whole training: on small data an epoch is a single batch, and a dozen of them train no choice at all."""

Heard = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """One step of a supernet's search, for whoever follows it.

    Attributes
    ----------
    stage
        ``"epoch"``, or ``"network"`` that was ranked.
    done, total
        Of that stage, the first epoch's beginning being 0; fewer in all where time ends before.
    value
        The epoch's mean loss per user, NaN at the beginning, or the best value by shared weights so far.
    """

    stage: str
    done: int
    total: int
    value: float


@dataclass
class Course:
    """The training of a supernet, counted in epochs and, where there is a deadline, in time.

    Attributes
    ----------
    epochs
        At most so many.
    users
        Of an epoch.
    deadline
        A ``time.monotonic()`` after which no batch is begun; None for none.
    heard
        Is told of every epoch.
    """

    epochs: int
    users: int
    deadline: float | None
    heard: Heard
    _began: float = field(default_factory=time.monotonic)
    _seen: int = 0
    _total: float = 0.0
    done: int = 0
    """Whole epochs."""

    @classmethod
    def of(
        cls, spec: ArchitectureSpec, graph: InteractionGraph, deadline: float | None, heard: Heard, *, times: int = 1
    ) -> Course:
        """Plan the epochs of a spec, so many times, and at least :data:`LEAST_BATCHES` batches."""
        users = int(np.count_nonzero(np.diff(graph.positives.indptr)))
        per_epoch = max(1, math.ceil(users / users_per_batch(users, spec.batch_size)))
        return cls(max(times * spec.epochs, math.ceil(LEAST_BATCHES / per_epoch)), users, deadline, heard)

    def each(self) -> Iterator[int]:
        """Give each epoch; what is heard of it is told when it has ended.

        Raises
        ------
        NoViableTrialError
            If the loss is no finite number any more.
        """
        self.heard(Step("epoch", 0, self.epochs, math.nan))
        while self.done < self.epochs and not self.is_over:
            before = self._total
            yield self.done
            if self._seen < (self.done + 1) * self.users:  # cut short
                return
            self.done += 1
            loss = (self._total - before) / self.users
            if not math.isfinite(loss):
                raise NoViableTrialError(
                    f"the supernet diverged in epoch {self.done}: the loss is {loss}",
                    hint="lower learning_rate or raise temperature",
                    code="diverged",
                )
            self.heard(Step("epoch", self.done, self.epochs, loss))

    def trained(self, users: int, loss: float) -> None:
        """Take note of a batch: how many users, and their mean loss."""
        self._seen += users
        self._total += users * loss

    @property
    def is_over(self) -> bool:
        """Whether time has ended."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1: of the epochs, or of the time where that ends it sooner."""
        done = self._seen / (self.epochs * self.users)
        if self.deadline is not None:
            now = time.monotonic()
            done = max(done, (now - self._began) / max(self.deadline - self._began, 1e-9))
        return min(done, 1.0)

    def share_after(self, users: int) -> float:
        """Give :attr:`share` once a batch of so many users is done, of their epochs at least."""
        return min(max(self.share, (self._seen + users) / (self.epochs * self.users)), 1.0)
