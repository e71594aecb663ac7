"""Limits: when a run of a study ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

DEFAULT_BUDGET_S = 600.0
"""Of a run that is told no limit: data of any size gets an answer within it, and small data many trials."""
TRIAL_SHARE = 1 / 3
"""Of a run's budget: one slow architecture must not use it up."""

MOST_RESERVED = 1 / 3
"""Of a run's budget, for what comes after its trials: the finalists and the blend."""

SUPERNET_SHARE = 1 / 3
"""Of the networks' share of a run's time, for the supernet of a strategy that has one."""


@dataclass(frozen=True)
class Limits:
    """When a run of a study ends.

    Attributes
    ----------
    trials
        Finished trials (complete, cut or failed) of the whole study, earlier runs included; None sets no limit.
    deadline
        A ``time.monotonic()`` of this run; a running trial stops there and counts with its best epoch so far.
    trial_s
        Seconds that one trial may take, its first epoch at least; None sets no limit.
    budget_s
        Seconds of this run; None where it has none, or only a deadline.
    began
        A ``time.monotonic()``; None as ``budget_s`` is.
    """

    trials: int | None
    deadline: float | None
    trial_s: float | None = None
    budget_s: float | None = None
    began: float | None = None

    @classmethod
    def of(cls, trials: int | None, budget_s: float | None) -> Limits:
        """Start the clock, of which one trial gets :data:`TRIAL_SHARE`; without a limit, :data:`DEFAULT_BUDGET_S`."""
        if trials is None and budget_s is None:
            budget_s = DEFAULT_BUDGET_S
        if budget_s is None:
            return cls(trials, None)
        now = time.monotonic()
        return cls(trials, now + budget_s, budget_s * TRIAL_SHARE, budget_s, now)

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def left_s(self) -> float | None:
        """Seconds until the time is up; None where it never is."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def reached(self, finished: int) -> bool:
        """Tell whether no further trial may begin."""
        return self.is_late or (self.trials is not None and finished >= self.trials)

    def progress(self, finished: int, *, after: int = 0, since: float | None = None) -> float:
        """Say how much of a part of the trials is over, by their number or by time, whichever is further: 0 to 1.

        Parameters
        ----------
        finished
            Trials.
        after
            So many were finished when the part began.
        since
            A ``time.monotonic()`` at which it began; the run's beginning when None.
        """
        found = 0.0 if self.trials is None else (finished - after) / max(self.trials - after, 1)
        start = self.began if since is None else since
        if self.deadline is not None and start is not None:
            found = max(found, (time.monotonic() - start) / max(self.deadline - start, 1e-9))
        return min(1.0, max(0.0, found))

    def reserving(self, seconds: float) -> Limits:
        """End the trials earlier, by at most :data:`MOST_RESERVED` of the budget, for what comes after."""
        if self.deadline is None or self.budget_s is None:
            return self
        return replace(self, deadline=self.deadline - min(seconds, MOST_RESERVED * self.budget_s))
