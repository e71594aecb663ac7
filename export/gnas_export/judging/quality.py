"""Ranking quality on the gate users, of the whole path that is served."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.gates import Gate, at_least, compared, skipped
from gnas_export.limits import GateLimits
from gnas_export.retrieval.index import TOP
from gnas_export.retrieval.segments import said_by
from gnas_export.retrieval.tables import Lists
from gnas_search.bootstrap import Interval, interval, paired_interval
from gnas_search.division import LEAST_JUDGES
from gnas_search.evaluate import UserMetrics, rank_metrics
from gnas_serve.plain_text import counted
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.query import MAX_LIST, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.seen import SeenItems

K = TOP
RETRIEVAL = "uncompressed exact retrieval"
"""What a path is held against where compression, or a learned ranker, is judged."""


@dataclass(frozen=True)
class Jury:
    """The gate users and their held-out items.

    Attributes
    ----------
    users : (n,) rows
    relevant : (n, I) CSR
    seed
        Of the bootstrap.
    """

    users: npt.NDArray[np.int64]
    relevant: sp.csr_matrix
    seed: int

    @property
    def too_small(self) -> str:
        """Why label gates cannot be measured; empty where they can."""
        if len(self.users) >= LEAST_JUDGES:
            return ""
        return f"{counted(len(self.users), 'gate user', 'have')} a held-out item, fewer than {LEAST_JUDGES}"

    def judge(self, lists: Lists) -> UserMetrics:
        """Measure ranked lists of the gate users."""
        return rank_metrics(lists, self.relevant, k=K)

    def served(self, recommender: Recommender) -> Lists:
        """Ask the recommender as a client would."""
        lists = []
        for user_row in self.users.tolist():
            answer = recommender.recommend(Query(user_id=recommender.users.id(user_row), k=K))
            lists.append(recommender.items.rows(answer.item_ids))
        return lists

    def folded_in(self, recommender: Recommender, seen: SeenItems, attributes: Attributes | None = None) -> Lists:
        """Ask as a client would for newcomers who bring the gate users' histories and have no vector.

        A question takes :data:`MAX_LIST` items of a history; of a longer one, as many more are named as unwanted.

        Parameters
        ----------
        attributes
            Of the users, who say them; None for those who say nothing.
        """
        rng = np.random.default_rng(self.seed)
        lists = []
        for user_row in self.users.tolist():
            past = tuple(recommender.items.ids(rng.permutation(seen.of(user_row))))
            query = Query(k=K, history=past[:MAX_LIST], exclude_items=past[MAX_LIST : 2 * MAX_LIST])
            if attributes is not None:
                query = replace(query, user_features=said_by(attributes, user_row))
            lists.append(recommender.items.rows(recommender.recommend(query).item_ids))
        return lists

    def summary(self, metrics: UserMetrics) -> dict[str, float]:
        """Give the means with their intervals, for the report."""
        spread, found = interval(metrics.ndcg, self.seed), interval(metrics.recall, self.seed)
        return {
            f"ndcg@{K}": spread.value,
            f"ndcg@{K}_low": spread.low,
            f"ndcg@{K}_high": spread.high,
            f"recall@{K}": metrics.mean()[0],
            f"recall@{K}_low": found.low,
            f"recall@{K}_high": found.high,
        }


def relative_change(jury: Jury, found: UserMetrics, reference: UserMetrics) -> Interval:
    """Bootstrap the change of ndcg user by user, relative to the mean of the reference."""
    difference = paired_interval(found.ndcg, reference.ndcg, jury.seed)
    mean = max(float(reference.ndcg.mean()), 1e-12)
    return Interval(difference.value / mean, difference.low / mean, difference.high / mean)


def retained(jury: Jury, metric: str, found: UserMetrics, reference: UserMetrics) -> dict[str, float]:
    """Tell what is left of a metric of the reference, for the report: 1 is all of it.

    Parameters
    ----------
    metric
        ``"ndcg"`` or ``"recall"``.

    Returns
    -------
    dict
        The share of the mean, and the ends of its paired 95 % interval.
    """
    one, other = getattr(found, metric), getattr(reference, metric)
    difference, mean = paired_interval(one, other, jury.seed), max(float(other.mean()), 1e-12)
    ends = {"value": difference.value, "low": difference.low, "high": difference.high}
    return {name: 1 + end / mean for name, end in ends.items()}


def no_loss(jury: Jury, shipped: UserMetrics, reference: UserMetrics, limit: float, what: str) -> Gate:
    """Gate: the shipped path loses at most ``limit`` of the reference's ndcg, by the interval's low end.

    Parameters
    ----------
    limit
        Relative, e.g. .01.
    what
        Names the reference.
    """
    change = relative_change(jury, shipped, reference)
    remark = (
        f"relative change of ndcg@{K} against {what}, low end of the 95 % interval, {len(jury.users)} gate users; "
        f"mean change {change.value:+.4f}"
    )
    return compared(at_least("quality", change.low, -limit, remark), what, change)


def not_below_popularity(jury: Jury, found: UserMetrics, popularity: UserMetrics, name: str = "popularity") -> Gate:
    """Gate: a path is not significantly worse than popularity."""
    difference = paired_interval(found.ndcg, popularity.ndcg, jury.seed)
    remark = (
        f"passes unless significantly worse: ndcg@{K} minus that of popularity, high end of the 95 % interval, "
        f"{len(jury.users)} gate users"
    )
    return compared(at_least(name, difference.high, 0.0, remark), "popularity", difference)


def unjudged(reason: str, limits: GateLimits) -> list[Gate]:
    """Give the label gates where there are too few labels."""
    return [
        skipped(name, limit, reason)
        for name, limit in (("quality", -limits.quality_loss), ("popularity", 0.0), ("baseline", -limits.baseline_loss))
    ]
