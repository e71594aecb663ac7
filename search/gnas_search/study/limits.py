"""Limits: when a run of a study ends."""

from __future__ import annotations

import time
from dataclasses import dataclass

DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class Limits:
    """When a run of a study ends.

    Attributes
    ----------
    trials
        Finished trials (complete or failed) of the whole study, earlier runs included; None sets no limit.
    deadline
        A ``time.monotonic()`` of this run; a running trial stops there and counts with its best epoch so far.
    """

    trials: int | None
    deadline: float | None

    @classmethod
    def of(cls, trials: int | None, budget_s: float | None) -> Limits:
        """Start the clock; without either limit, :data:`DEFAULT_TRIALS`."""
        if trials is None and budget_s is None:
            trials = DEFAULT_TRIALS
        return cls(trials, None if budget_s is None else time.monotonic() + budget_s)

    def reached(self, finished: int) -> bool:
        """Tell whether no further trial may begin."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or (self.trials is not None and finished >= self.trials)
