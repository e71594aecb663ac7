"""Groups of users and items: for whom, and of what, a model is good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.bootstrap import Interval, intervals
from gnas_search.evidence import Evidence
from gnas_search.exam import Exam
from gnas_search.metrics import METRICS
from gnas_search.search_objective import objective

Values = npt.NDArray[np.float64]
COLD = 5
"""Most interactions in training of a cold user or item, where nothing else is said."""


@dataclass(frozen=True)
class Average(Interval):
    """A mean over users with its 95 % bootstrap interval.

    Attributes
    ----------
    users
        How many it is over: those of whom the metric says something.
    """

    users: int


@dataclass(frozen=True)
class Group:
    """Metrics over some of the test users, or by some of the items.

    Attributes
    ----------
    users
        How many it has; of a group of items, those who want one of them.
    items
        How many items the group has; None for a group of users.
    metrics
        By name.
    """

    users: int
    items: int | None
    metrics: dict[str, Average]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        sized = {} if self.items is None else {"items": self.items}
        return {"users": self.users, **sized, "metrics": plain(self.metrics)}


def plain(metrics: Mapping[str, Average]) -> dict[str, dict[str, float]]:
    """Give the JSON form of metrics: ``{name: {"value", "low", "high", "users"}}``."""
    return {name: asdict(each) for name, each in metrics.items()}


def averages(values: Mapping[str, Values], *, seed: int) -> dict[str, Average]:
    """Average each metric over the users of whom it says something.

    Parameters
    ----------
    values, seed
        As for :func:`gnas_search.bootstrap.intervals`, which leaves out what says nothing of anybody.
    """
    return {
        name: Average(found.value, found.low, found.high, int(np.isfinite(values[name]).sum()))
        for name, found in intervals(values, seed=seed).items()
    }


def groups(evidence: Evidence, values: Mapping[str, Values], exam: Exam, *, cold: int = COLD) -> dict[str, Group]:
    """Measure one model by groups.

    Parameters
    ----------
    evidence, values
        Of a model's :class:`~gnas_search.outcome.Outcome`.
    exam
        Its test users.
    cold
        Most interactions in training of a cold user or item.

    Returns
    -------
    dict
        Of users, with every metric: ``cold_users`` have at most ``cold`` items of history, ``warm_users`` more;
        ``test_only_users`` are the cold ones that training does not know at all. Of items, with every metric of
        relevant items, those of the group alone: the most popular items, which together have a third of the
        interactions, are ``head_items``, those of the next third ``middle_items``, the others ``tail_items``;
        ``cold_items`` have at most ``cold`` interactions, ``warm_items`` more. Groups without users are left out.
    """
    return _of_users(values, exam, cold) | _of_items(evidence, exam, cold)


def _of_users(values: Mapping[str, Values], exam: Exam, cold: int) -> dict[str, Group]:
    lengths = np.diff(exam.masked.indptr)
    chosen = {"cold_users": lengths <= cold, "warm_users": lengths > cold, "test_only_users": ~exam.is_known}
    return {
        name: Group(int(is_in.sum()), None, averages({m: each[is_in] for m, each in values.items()}, seed=exam.seed))
        for name, is_in in chosen.items()
        if is_in.any()
    }


def _of_items(evidence: Evidence, exam: Exam, cold: int) -> dict[str, Group]:
    counts = exam.catalogue.counts
    third = thirds(counts)
    chosen = {f"{name}_items": third == number for number, name in enumerate(("head", "middle", "tail"))}
    chosen |= {"cold_items": counts <= cold, "warm_items": counts > cold}
    names = [f"{name}@{exam.k}" for name in METRICS] + ([] if evidence.shares is None else ["auc"])
    found = {}
    for name, is_in in chosen.items():
        part = _by_items(evidence, is_in)
        if part is not None:
            values = {metric: objective(metric).measure(part) for metric in names}
            found[name] = Group(len(part.lists), int(is_in.sum()), averages(values, seed=exam.seed))
    return found


def thirds(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Divide items, the most popular first, into three groups of a third of the interactions each: (I,) 0, 1 or 2."""
    order = np.argsort(-counts, kind="stable")
    before = (np.cumsum(counts[order]) - counts[order]) / max(1, counts.sum())
    third = np.empty(len(counts), dtype=np.int64)
    third[order] = np.minimum((before * 3).astype(np.int64), 2)
    return third


def _by_items(evidence: Evidence, is_in: npt.NDArray[np.bool_]) -> Evidence | None:
    """Keep the relevant items of a group alone, and the users who have some; None where nobody has."""
    relevant = evidence.relevant
    lines = np.repeat(np.arange(relevant.shape[0]), np.diff(relevant.indptr))
    kept = is_in[relevant.indices]
    users, rows = np.unique(lines[kept], return_inverse=True)
    if len(users) == 0:
        return None
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(users)))])
    inside = sp.csr_matrix((relevant.data[kept], relevant.indices[kept], indptr), shape=(len(users), relevant.shape[1]))
    shares = None if evidence.shares is None else evidence.shares[kept]
    return Evidence([evidence.lists[user] for user in users.tolist()], inside, evidence.catalogue, shares=shares)
