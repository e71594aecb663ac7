"""What newcomers' features are worth: users as if nothing were known of them but these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_export.judging.quality import Jury, K
from gnas_export.retrieval.segments import said_by, segment_table
from gnas_export.retrieval.shipped import ShippedFit
from gnas_export.retrieval.tables import Lists
from gnas_search.checkpoint import Checkpoint
from gnas_search.evaluate import rank_metrics
from gnas_serve.artifact.segment_facts import SegmentFacts, UserFeature
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.query import MAX_LIST, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.segments import Segments

# Of equally good ones the first: it changes popularity least.
PRIORS = (30_000.0, 10_000.0, 3_000.0, 1_000.0, 300.0)
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
MOST_USERS = 2000
_LEAST_USERS = 200
_SCORED = 100_000_000  # scores of items, about: a few seconds' work


@dataclass(frozen=True)
class ChosenSegments:
    """How much the segments say.

    Attributes
    ----------
    facts
        With the prior and the weight that are best.
    tried
        Of every pair the mean ndcg@20 of the users who chose.
    users
        How many these were.
    """

    facts: SegmentFacts
    tried: tuple[dict[str, float], ...]
    users: int


def choosing_users(fitting: npt.NDArray[np.int64], num_items: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw the users by whom prior and weight are chosen, fewer where there are many items."""
    most = min(MOST_USERS, max(_LEAST_USERS, _SCORED // (num_items * len(PRIORS) * len(WEIGHTS))))
    return np.sort(np.random.default_rng(seed).permutation(fitting)[:most])


def chosen_segments(
    features: tuple[UserFeature, ...], checkpoint: Checkpoint, fit: ShippedFit, users: npt.NDArray[np.int64]
) -> ChosenSegments:
    """Choose prior and weight by users who do not judge.

    Parameters
    ----------
    fit
        The selection fit.
    users : (n,) rows
        With an item in validation. What they have in train is left out of their answers, so that it is of no account
        that the segments count it.
    """
    attributes = checkpoint.user_attributes
    facts = SegmentFacts(features, PRIORS[0], WEIGHTS[0])
    table = segment_table(facts, attributes, checkpoint.train)
    if attributes is None or table is None or not len(users):
        return ChosenSegments(facts, (), 0)
    said = [said_by(attributes, row) for row in users.tolist()]
    past = [fit.seen.of(row).astype(np.int64) for row in users.tolist()]
    relevant = checkpoint.valid[users]
    best, tried = (-1.0, facts), []
    for prior in PRIORS:
        for weight in WEIGHTS:
            one = SegmentFacts(features, prior, weight)
            segments = Segments(one, table, fit.counts)
            lists = [segments.of(words).retrieve(K, seen)[0] for words, seen in zip(said, past, strict=True)]
            ndcg = float(rank_metrics(lists, relevant, k=K).ndcg.mean())
            tried.append({"prior": prior, "weight": weight, f"ndcg@{K}": ndcg})
            best = max(best, (ndcg, one), key=lambda pair: pair[0])
    return ChosenSegments(best[1], tuple(tried), len(users))


def answered_strangers(jury: Jury, recommender: Recommender, seen: SeenItems, attributes: Attributes | None) -> Lists:
    """Ask as a client would for strangers who say what the gate users would; nothing where ``attributes`` is None.

    A question takes :data:`MAX_LIST` unwanted items; of a longer past the others may be answered.
    """
    lists = []
    for user_row in jury.users.tolist():
        past = tuple(recommender.items.ids(seen.of(user_row)[:MAX_LIST]))
        said = () if attributes is None else said_by(attributes, user_row)
        answer = recommender.recommend(Query(k=K, exclude_items=past, user_features=said))
        lists.append(recommender.items.rows(answer.item_ids))
    return lists


def named(features: Sequence[UserFeature]) -> tuple[UserFeature, ...]:
    """Give features that make no segment: their names are known, so that a question with them is none of an error."""
    return tuple(UserFeature(feature.name, feature.kind) for feature in features)
