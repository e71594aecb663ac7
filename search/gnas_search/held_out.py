"""The test part, scored once: for a checkpoint by full ranking, for an artifact through what it would serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.splits import check_same_data
from gnas_search.evaluate import Interval, interval
from gnas_search.exposure import exposure
from gnas_search.metrics import METRICS, Values, ranked, recall
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.topk import top_k

Rows = npt.NDArray[np.int64]
COLD_HISTORY = 5
"""Most items in the history of a cold user."""
_BLOCK_SCORES = 1 << 24


@dataclass(frozen=True)
class Group:
    """Metrics over some of the test users, or by some of the items.

    Attributes
    ----------
    users
        How many the average is over.
    items
        How many items the group has; None for a group of users.
    metrics
        Each with its 95 % bootstrap interval over users.
    """

    users: int
    items: int | None
    metrics: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        sized = {} if self.items is None else {"items": self.items}
        return {"users": self.users, **sized, "metrics": _plain(self.metrics)}


@dataclass(frozen=True)
class HeldOutReport:
    """Test metrics over all test users and, beside it, over those known from training.

    Attributes
    ----------
    metrics, known_metrics
        ``"recall@k"``, ``"ndcg@k"`` and the others of :data:`gnas_search.metrics.METRICS`, each with its 95 % bootstrap
        interval over users; ``known_metrics`` leaves out users that occur in test only (answered by popularity).
    users, known_users
        How many users each average is over.
    exposure
        What the lists show of the catalogue (:func:`gnas_search.exposure.exposure`).
    groups
        ``cold_users`` have at most :data:`COLD_HISTORY` items of history, ``warm_users`` more. The most popular items,
        which together have a third of the interactions, are ``head_items``, those of the next third ``middle_items``,
        the others ``tail_items``: recall of the relevant items of the group alone. Groups without users are left out.
    """

    metrics: dict[str, Interval]
    known_metrics: dict[str, Interval]
    users: int
    known_users: int
    exposure: dict[str, float]
    groups: dict[str, Group]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form: ``{"metrics": {name: {"value", "low", "high"}}, "users": n, ...}``."""
        return {
            "metrics": _plain(self.metrics),
            "users": self.users,
            "known_users": {"metrics": _plain(self.known_metrics), "users": self.known_users},
            "exposure": self.exposure,
            "groups": {name: group.to_json() for name, group in self.groups.items()},
        }


def _plain(metrics: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: {"value": m.value, "low": m.low, "high": m.high} for name, m in metrics.items()}


def evaluate_checkpoint(checkpoint: Checkpoint, dataset: Dataset, test: TestPart, *, k: int = 20) -> HeldOutReport:
    """Rank all items by the exact scores of the final fit; train and validation items are masked.

    Raises
    ------
    DataMismatchError
        If the checkpoint was made from other data.
    """
    check_same_data(dataset, checkpoint.fingerprint, "the checkpoint")
    return _report(_ranked_exactly(checkpoint, test, k), dataset, test, k)


def evaluate_artifact(
    recommender: Recommender,
    fingerprint: str,
    dataset: Dataset,
    test: TestPart,
    *,
    k: int = 20,
    on_user: Callable[[], None] | None = None,
) -> HeldOutReport:
    """Ask the artifact for every test user, exactly as its doors would.

    Parameters
    ----------
    recommender
        The loaded artifact.
    fingerprint
        Of the data the artifact was made from, as its manifest states it.
    dataset, test
        The data split as at training.
    k
        Length of the lists.
    on_user
        Called after each answer.

    Raises
    ------
    DataMismatchError
        If the artifact was made from other data.
    """
    check_same_data(dataset, fingerprint, "the artifact")
    top: list[Rows] = []
    for user_id in test.user_ids:
        answer = recommender.recommend(Query(user_id=user_id, k=k))
        top.append(dataset.items.rows(answer.item_ids))
        if on_user is not None:
            on_user()
    return _report(top, dataset, test, k)


def _ranked_exactly(checkpoint: Checkpoint, test: TestPart, k: int) -> list[Rows]:
    seen = checkpoint.seen()
    counts = np.bincount(seen.indices, minlength=len(checkpoint.items)).astype(np.int32)
    popularity = Popularity(counts)
    known = np.flatnonzero(test.user_rows >= 0)
    # As in serving: a fit that knows nothing of a user leaves the answer to popularity.
    known = known[checkpoint.final.knows(seen)[test.user_rows[known]]]
    top: list[Rows] = [np.empty(0, dtype=np.int64)] * len(test.user_ids)
    score_rows = checkpoint.final.score_rows(seen)
    block = max(1, _BLOCK_SCORES // max(1, seen.shape[1]))
    for start in range(0, len(known), block):
        places = known[start : start + block]
        rows = test.user_rows[places]
        scores = score_rows(rows)  # (b, I)
        masked = sp.csr_matrix(seen[rows])
        scores[np.repeat(np.arange(len(rows)), np.diff(masked.indptr)), masked.indices] = -np.inf
        for place, row in zip(places, scores, strict=True):
            top[place] = top_k(row, k)
    for place in np.setdiff1d(np.arange(len(top)), known):
        row = test.user_rows[place]
        excluded = seen.indices[seen.indptr[row] : seen.indptr[row + 1]] if row >= 0 else np.empty(0, np.int64)
        top[place] = popularity.retrieve(k, excluded)[0]
    return top


def _report(top: list[Rows], dataset: Dataset, test: TestPart, k: int) -> HeldOutReport:
    found = ranked(top, test.relevant, test.num_relevant, k)
    values = {f"{name}@{k}": measure(found) for name, measure in METRICS.items()}
    known = test.user_rows >= 0
    metrics = _intervals(values, np.ones(len(known), dtype=bool))
    seen = dataset.final.positives
    counts = np.bincount(seen.indices, minlength=seen.shape[1])
    features = None if dataset.item_features is None else dataset.item_features.values
    return HeldOutReport(
        metrics=metrics,
        known_metrics=metrics if known.all() else _intervals(values, known),
        users=len(known),
        known_users=int(known.sum()),
        exposure=exposure(top, counts, seen.shape[0], features, k),
        groups=_user_groups(values, seen, test, k) | _item_groups(top, counts, test, k),
    )


def _intervals(values: dict[str, Values], chosen: npt.NDArray[np.bool_]) -> dict[str, Interval]:
    return {name: interval(each[chosen], seed=0) for name, each in values.items()} if chosen.any() else {}


def _user_groups(values: dict[str, Values], seen: sp.csr_matrix, test: TestPart, k: int) -> dict[str, Group]:
    lengths = np.where(test.user_rows >= 0, np.diff(seen.indptr)[test.user_rows], 0)
    selected = {name: values[name] for name in (f"recall@{k}", f"ndcg@{k}")}
    groups = {}
    for name, chosen in (("cold_users", lengths <= COLD_HISTORY), ("warm_users", lengths > COLD_HISTORY)):
        if chosen.any():
            groups[name] = Group(int(chosen.sum()), None, _intervals(selected, chosen))
    return groups


def _item_groups(top: list[Rows], counts: npt.NDArray[np.integer], test: TestPart, k: int) -> dict[str, Group]:
    order = np.argsort(-counts, kind="stable")
    before = (np.cumsum(counts[order]) - counts[order]) / max(1, counts.sum())
    third = np.empty(len(counts), dtype=np.int64)
    third[order] = np.minimum((before * 3).astype(np.int64), 2)
    groups = {}
    for number, name in enumerate(("head_items", "middle_items", "tail_items")):
        inside = sp.csr_matrix(test.relevant.multiply((third == number)[None, :]))
        inside.eliminate_zeros()
        users = np.flatnonzero(np.diff(inside.indptr))
        if len(users):
            found = ranked([top[user] for user in users], inside[users], None, k)
            measured = {f"recall@{k}": interval(recall(found), seed=0)}
            groups[name] = Group(len(users), int((third == number).sum()), measured)
    return groups
