"""Candidate lists: what retrieval really returns, with the features that serving really computes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gnas_export.ranker.user_encoding import user_encodings
from gnas_export.retrieval.shipped import ShippedFit, known_users
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.encoding_facts import FeatureEncoding
from gnas_serve.runtime.ranker import Ranker
from gnas_serve.runtime.ranker_features import (
    branch_features,
    content_similarity,
    cross_features,
    relative_popularity,
)

Floats = npt.NDArray[np.float32]

_LENGTHS = (0, 1, 7, 100)  # 0: as long as it is


@dataclass(frozen=True)
class FeaturePlan:
    """Which inputs a learned ranker has on this data.

    Attributes
    ----------
    cross
        Names of the cross features.
    users : (U, F) float32, or None
        Attributes of the users.
    encodings
        How they came about, as far as newcomers can say of themselves what they are made of.
    content : (I, F) float16, or None
        Unit-length attributes of the items.
    items : (I, F) float32, or None
        Attributes and recency of the items, for their part of the first layer.
    """

    cross: tuple[str, ...]
    users: Floats | None
    encodings: tuple[FeatureEncoding, ...]
    content: npt.NDArray[np.float16] | None
    items: Floats | None

    def item_inputs(self, counts: npt.NDArray[np.int32]) -> Floats:
        """Assemble the item inputs of one fit, (I, F + 1)."""
        popularity = relative_popularity(counts)
        parts = [popularity[:, None]] if self.items is None else [popularity[:, None], self.items]
        return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)


def plan_features(checkpoint: Checkpoint) -> FeaturePlan:
    """Choose the inputs that the data allows and that survive a refit."""
    # Not the raw score: a refit moves its scale, while its place within the list keeps its meaning.
    cross: tuple[str, ...] = ("score_z", "log_rank")
    num_parts = len(checkpoint.final.branches)
    if num_parts > 1:  # of a single branch it would be the score again
        cross += branch_features(num_parts)
    content: npt.NDArray[np.float16] | None = None
    item_parts = []
    if checkpoint.item_recency is not None:
        item_parts.append(checkpoint.item_recency[:, None])
    if checkpoint.item_features is not None and checkpoint.item_features.values.shape[1]:
        values = checkpoint.item_features.values
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        content = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0).astype(np.float16)
        cross += ("content",)
        item_parts.append(values)
    told, users = checkpoint.user_features, None
    if told is not None and told.values.shape[1]:
        users = told.values
    encodings = () if users is None else user_encodings(told, checkpoint.user_attributes)
    return FeaturePlan(cross, users, encodings, content, np.concatenate(item_parts, axis=1) if item_parts else None)


@dataclass(frozen=True)
class CandidateList:
    """The candidates of one user, best first.

    Attributes
    ----------
    rows : (C,) int64
    scores : (C,) float32
    cross : (C, X) float32
    user : (D,) float32
    """

    user_row: int
    rows: npt.NDArray[np.int64]
    scores: Floats
    cross: Floats
    user: Floats

    def first(self, count: int) -> CandidateList:
        """Give the same list cut to its first ``count``."""
        return replace(self, rows=self.rows[:count], scores=self.scores[:count], cross=self.cross[:count])


def at_lengths(lists: list[CandidateList]) -> list[CandidateList]:
    """Cut lists in turns to one, to an odd number, to a round one, and not at all: a graph has to take any number."""
    return [one.first(_LENGTHS[place % len(_LENGTHS)] or len(one.rows)) for place, one in enumerate(lists)]


def collect(
    shipped: ShippedFit, plan: FeaturePlan, scorer: Ranker, user_rows: npt.NDArray[np.integer], count: int
) -> list[CandidateList]:
    """Retrieve for some users and assemble the ranker's inputs, all through the code that serves.

    Parameters
    ----------
    scorer
        Any ranker over the same attributes; it assembles the user's inputs.
    user_rows : (n,)
        Users of whom the fit knows nothing are passed over: serving answers them by popularity, unranked.
    count
        C.
    """
    retriever = shipped.retriever()
    lists = []
    known = user_rows[known_users(shipped.exact, shipped.seen, user_rows)]
    for user_row in known.tolist():
        history = shipped.seen.of(user_row).astype(np.int64)
        found = retriever.retrieve(shipped.tables.users.row(user_row), history, count, history)
        if len(found.rows) == 0:
            continue
        similarity = None if plan.content is None else content_similarity(plan.content, history, found.rows)
        cross = cross_features(plan.cross, found.scores, found.parts, similarity)
        user = scorer.user_input(user_row, history)
        lists.append(CandidateList(user_row, found.rows, found.scores, cross, user))
    return lists
