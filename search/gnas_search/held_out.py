"""The report on the test part: what one model makes of it, over all users and by group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gnas_search.exam import Exam
from gnas_search.exposure import exposure
from gnas_search.groups import COLD, Average, Group, averages, groups, plain
from gnas_search.outcome import Outcome


@dataclass(frozen=True)
class HeldOutReport:
    """Test metrics over all test users and, beside it, over those known from training.

    Attributes
    ----------
    metrics, known_metrics
        ``"recall@k"``, ``"ndcg@k"``, ``"auc"`` and the others of
        :data:`gnas_search.search_objective.MEASURES` that are per user, each with its 95 % bootstrap interval over
        users; ``known_metrics`` leaves out users that occur in test only (answered by popularity).
    users, known_users
        How many there are; an average is over those of them of whom its metric says something, and names their number.
    exposure
        What the lists show of the catalogue (:func:`gnas_search.exposure.exposure`). Coverage and Gini have no
        interval: resampled users list ever fewer items than the users themselves.
    groups
        :func:`gnas_search.groups.groups`.
    pointwise
        What ``auc``, ``log_loss`` and ``accuracy`` rest on, and those of them that are left out, with the reason.
    """

    metrics: dict[str, Average]
    known_metrics: dict[str, Average]
    users: int
    known_users: int
    exposure: dict[str, float]
    groups: dict[str, Group]
    pointwise: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form: ``{"metrics": {name: {"value", "low", "high", "users"}}, "users": n, ...}``."""
        return {
            "metrics": plain(self.metrics),
            "users": self.users,
            "known_users": {"metrics": plain(self.known_metrics), "users": self.known_users},
            "exposure": self.exposure,
            "groups": {name: group.to_json() for name, group in self.groups.items()},
            "pointwise": self.pointwise,
        }


def report(outcome: Outcome, exam: Exam, *, cold: int = COLD) -> HeldOutReport:
    """Sum up what one model makes of the test part.

    Parameters
    ----------
    outcome, exam
        Of the same test users.
    cold
        As for :func:`gnas_search.groups.groups`.
    """
    values, known, catalogue = outcome.values, exam.is_known, exam.catalogue
    metrics = averages(values, seed=exam.seed)
    return HeldOutReport(
        metrics=metrics,
        known_metrics=metrics
        if known.all()
        else averages({name: each[known] for name, each in values.items()}, seed=exam.seed),
        users=exam.num_users,
        known_users=int(known.sum()),
        exposure=exposure(outcome.evidence.lists, catalogue.counts, catalogue.num_users, catalogue.features, exam.k),
        groups=groups(outcome.evidence, values, exam, cold=cold),
        pointwise=outcome.pointwise_json(exam),
    )
