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
from gnas_search.evaluate import Interval, interval, rank_metrics
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.topk import top_k

Rows = npt.NDArray[np.int64]
_BLOCK_SCORES = 1 << 24


@dataclass(frozen=True)
class HeldOutReport:
    """Test metrics over all test users and, beside it, over those known from training.

    Attributes
    ----------
    metrics, known_metrics
        ``"recall@k"`` and ``"ndcg@k"``, each with its 95 % bootstrap interval over users; ``known_metrics`` leaves out
        users that occur in test only (answered by popularity).
    users, known_users
        How many users each average is over.
    """

    metrics: dict[str, Interval]
    known_metrics: dict[str, Interval]
    users: int
    known_users: int

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form: ``{"metrics": {name: {"value", "low", "high"}}, "users": n, "known_users": {...}}``."""

        def plain(metrics: dict[str, Interval]) -> dict[str, dict[str, float]]:
            return {name: {"value": m.value, "low": m.low, "high": m.high} for name, m in metrics.items()}

        return {
            "metrics": plain(self.metrics),
            "users": self.users,
            "known_users": {"metrics": plain(self.known_metrics), "users": self.known_users},
        }


def evaluate_checkpoint(checkpoint: Checkpoint, dataset: Dataset, test: TestPart, *, k: int = 20) -> HeldOutReport:
    """Rank all items by the exact scores of the final fit; train and validation items are masked.

    Raises
    ------
    DataMismatchError
        If the checkpoint was made from other data.
    """
    check_same_data(dataset, checkpoint.fingerprint, "the checkpoint")
    return _report(_ranked_exactly(checkpoint, test, k), test, k)


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
    return _report(top, test, k)


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


def _report(top: list[Rows], test: TestPart, k: int) -> HeldOutReport:
    users = rank_metrics(top, test.relevant, test.num_relevant, k)
    known = test.user_rows >= 0

    def intervals(chosen: npt.NDArray[np.bool_]) -> dict[str, Interval]:
        if not chosen.any():
            return {}
        measured = {f"recall@{k}": users.recall[chosen], f"ndcg@{k}": users.ndcg[chosen]}
        return {name: interval(values, seed=0) for name, values in measured.items()}

    return HeldOutReport(
        metrics=intervals(np.ones(len(known), dtype=bool)),
        known_metrics=intervals(known),
        users=len(known),
        known_users=int(known.sum()),
    )
