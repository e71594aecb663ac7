"""Full-ranking evaluation on held-out interactions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import Dataset
from gnas_search.metrics import ndcg, ranked, recall
from gnas_serve.errors import DataError
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
ScoreRows = Callable[[Rows], Floats]
"""Scores of all items for some user rows: ``(b,) -> (b, I) float32``, an array the caller may overwrite."""

VALIDATION_USERS = 4096
"""Most users validated on while models are compared: about one second per ranking at 40,000 items."""

FRESH_USERS = (2048, 8192)
"""Least and most users beside those, the most where items are many: fewer are too noisy to decide by."""

FRESH_SCORES = 1 << 30
"""So many scores of one model allow more of them: what each costs is to rank all items. Of 8,192 users of Gowalla the
gain of a blend's branch has a standard error of .7 %, of the 25,762 that there are one of .4 %: a network that brings
1.3 % was dropped by the former."""

_BLOCK_SCORES = 1 << 24  # scores held at a time (64 MB): large enough for BLAS, small beside the model


@dataclass(frozen=True)
class UserMetrics:
    """The metrics of every evaluated user, in the order of the users.

    Attributes
    ----------
    recall, ndcg : (n,) float64
    judged : (n,) float64, optional
        What a :class:`Judge` says of each user, the higher the better; NaN where it has nothing to say. None where ndcg
        says it.
    values
        Means of whatever the judge measured, by name.
    """

    recall: npt.NDArray[np.float64]
    ndcg: npt.NDArray[np.float64]
    judged: npt.NDArray[np.float64] | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def quality(self) -> npt.NDArray[np.float64]:
        """What models are chosen by: a value per user of whom there is one, the higher the better; (m,)."""
        return self.ndcg if self.judged is None else self.judged[np.isfinite(self.judged)]

    def mean(self) -> tuple[float, float]:
        """Average over the users: ``(recall, ndcg)``."""
        return float(self.recall.mean()), float(self.ndcg.mean())


def rank_metrics(
    top: Sequence[npt.NDArray[np.integer]],
    relevant: sp.csr_matrix,
    num_relevant: npt.NDArray[np.integer] | None = None,
    k: int = 20,
) -> UserMetrics:
    """Measure given ranked lists, those of an artifact or of :class:`Validation`, by what models are selected by.

    Parameters
    ----------
    top, relevant, num_relevant, k
        As for :func:`gnas_search.metrics.ranked`.

    Raises
    ------
    ValueError
        As there.
    """
    found = ranked(top, relevant, num_relevant, k)
    return UserMetrics(recall=recall(found), ndcg=ndcg(found))


class Judge(Protocol):
    """Measures by something else than recall and ndcg too."""

    def __call__(self, validation: Validation, score_rows: ScoreRows) -> UserMetrics:
        """Measure a model that scores all items for blocks of user rows."""


class Validation:
    """Full ranking on the users with at least one relevant item, or on a seeded sample of them.

    Parameters
    ----------
    masked : (U, I) CSR
        Items never recommended to each user: those of the fit's training part.
    relevant : (U, I) CSR
        Held-out items.
    max_users
        At most so many users, drawn without replacement; None takes all.
    seed
        Of that draw.
    k
        Length of the lists.

    Attributes
    ----------
    users : (n,) int64
        The evaluated user rows, ascending.
    masked, relevant : (n, I) CSR
        Theirs.

    Raises
    ------
    DataError
        If no user has a relevant item.
    """

    def __init__(
        self, masked: sp.csr_matrix, relevant: sp.csr_matrix, *, max_users: int | None, seed: int, k: int = 20
    ) -> None:
        if masked.shape != relevant.shape:
            raise ValueError(f"masked is {masked.shape}, relevant is {relevant.shape}")
        users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int64)
        if len(users) == 0:
            raise DataError("no user has an interaction in the validation part", hint="give more interactions per user")
        if max_users is not None and max_users < len(users):
            users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
        self.users: Rows = users
        self.k = k
        self._judge: Judge | None = None
        self.masked: sp.csr_matrix = masked[users]
        self.relevant: sp.csr_matrix = relevant[users]

    def score(self, user_vectors: Floats, item_vectors: Floats) -> UserMetrics:
        """Measure inner products of ``(U, d)`` user and ``(I, d)`` item vectors."""
        items = np.ascontiguousarray(item_vectors.T)  # (d, I)
        return self.score_with(lambda rows: user_vectors[rows] @ items)

    def score_with(self, score_rows: ScoreRows) -> UserMetrics:
        """Measure a model that scores all items for blocks of user rows."""
        if self._judge is not None:
            return self._judge(self, score_rows)
        top: list[Rows] = []
        for scores in self.score_blocks(score_rows):
            top.extend(top_k(row, self.k) for row in scores)
        return rank_metrics(top, self.relevant, k=self.k)

    def blocks(self) -> Iterator[tuple[Rows, sp.csr_matrix, sp.csr_matrix]]:
        """Divide the users into blocks whose scores fit in memory: (rows (b,), relevant (b, I), masked (b, I))."""
        block = max(1, _BLOCK_SCORES // self.relevant.shape[1])
        for start in range(0, len(self.users), block):
            span = slice(start, start + block)
            yield self.users[span], self.relevant[span], self.masked[span]

    def score_blocks(self, score_rows: ScoreRows) -> Iterator[Floats]:
        """Score all items for the users in their order, block by block: (b, I), ``-inf`` where one is masked."""
        for rows, _, masked in self.blocks():
            scores = score_rows(rows)
            mask_scores(scores, masked)
            yield scores

    def judged_by(self, judge: Judge | None) -> Validation:
        """Give the same users, models being measured by a judge; None for recall and ndcg alone."""
        other = copy.copy(self)
        other._judge = judge
        return other

    def subset(self, places: Rows) -> Validation:
        """Give the validation on some of the users, by their places in :attr:`users`."""
        part = copy.copy(self)
        part.users, part.masked, part.relevant = self.users[places], self.masked[places], self.relevant[places]
        return part


def mask_scores(scores: Floats, masked: sp.csr_matrix) -> None:
    """Set the scores (b, I) of the items that are masked (b, I) to ``-inf``, in place."""
    scores[np.repeat(np.arange(len(scores)), np.diff(masked.indptr)), masked.indices] = -np.inf


def validation_of(dataset: Dataset, *, max_users: int | None = VALIDATION_USERS) -> Validation:
    """Give the validation by which all models of a dataset are selected: the same users whatever a model's seed.

    Parameters
    ----------
    dataset
        The split data.
    max_users
        Size of the sample of users; None for all of them, as a model that is kept is measured in the end.
    """
    return Validation(dataset.selection.positives, dataset.valid, max_users=max_users, seed=dataset.config.split_seed)


def fresh_validation(dataset: Dataset, used: Validation) -> Validation | None:
    """Give users by whom no model was selected, for what is decided between the selected ones; None where few are left.

    The best of a hundred models owes part of its figures to the users that it was chosen by, and more of them than the
    best of five.

    Parameters
    ----------
    dataset
        The split data.
    used
        From :func:`validation_of`.
    """
    every = validation_of(dataset, max_users=None)
    places = np.flatnonzero(~np.isin(every.users, used.users))
    least, most = FRESH_USERS
    most = max(most, FRESH_SCORES // every.relevant.shape[1])
    if len(places) < least:
        return None
    if len(places) > most:
        places = np.sort(np.random.default_rng(dataset.config.split_seed).choice(places, most, replace=False))
    return every.subset(places)
