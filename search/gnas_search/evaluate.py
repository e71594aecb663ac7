"""Full-ranking evaluation on held-out interactions, and intervals that say how sure a figure is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
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
Drawn = npt.NDArray[np.int64] | npt.NDArray[np.float32]
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

_KEPT = 1 << 23  # counts of resampled users (32 MB): what is drawn beyond them is drawn anew

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


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap confidence interval."""

    value: float
    low: float
    high: float


def interval(values: npt.NDArray[np.floating], seed: int, *, confidence: float = 0.95, rounds: int = 1000) -> Interval:
    """Bootstrap the mean over users (percentile interval).

    Parameters
    ----------
    values : (n,)
        One value per user.
    seed
        Of the resampling: equal seeds give equal intervals.
    confidence
        Within 0..1.
    rounds
        How often the users are resampled.

    References
    ----------
    Efron, B. (1979). Bootstrap methods: another look at the jackknife. The Annals of Statistics 7(1).
    """
    return intervals(np.asarray(values)[:, None], seed, confidence=confidence, rounds=rounds)[0]


def intervals(
    columns: npt.NDArray[np.floating], seed: int, *, confidence: float = 0.95, rounds: int = 1000
) -> list[Interval]:
    """Bootstrap several means over the same users as :func:`interval` does, in one pass.

    Parameters
    ----------
    columns : (n, m)
        One row per user.
    seed, confidence, rounds
        As there.
    """
    if len(columns) == 0:
        raise ValueError("an interval needs at least one value")
    exact = np.asarray(columns, dtype=np.float64)
    means = exact.mean(axis=0)
    # What lies about the mean, in half the memory, which is what this takes its time for: relative to the interval's
    # width, its rounding is a ten-millionth.
    apart = (exact - means).astype(np.float32)
    drawn = resamples(len(exact), seed, rounds)
    sums = drawn @ apart if isinstance(drawn, np.ndarray) else np.array([counts @ apart for counts in drawn])
    tail = (1.0 - confidence) / 2.0
    ends = means + _quantiles(np.sort(sums, axis=0), [tail, 1.0 - tail]) / len(exact)
    lows, highs = np.clip(ends, exact.min(axis=0), exact.max(axis=0))
    return [Interval(float(mean), float(low), float(high)) for mean, low, high in zip(means, lows, highs, strict=True)]


def _quantiles(ordered: Floats | npt.NDArray[np.float64], shares: Sequence[float]) -> npt.NDArray[np.float64]:
    """Interpolate between sorted rows as np.quantile does, without its checks, which take as long as the resampling."""
    places = np.array(shares) * (len(ordered) - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(ordered) - 1)
    part = (places - before)[:, None]
    found: npt.NDArray[np.float64] = (1.0 - part) * ordered[before] + part * ordered[after]
    return found


def resamples(n: int, seed: int, rounds: int) -> Iterable[Drawn]:
    """Give how often each of n users is drawn, (n,) for every round.

    A study measures every model on the same users with the same seed: to draw them anew for each took a tenth of the
    time of small data's trials.

    Parameters
    ----------
    n, seed, rounds
        As for :func:`interval`.
    """
    return _kept_resamples(n, seed, rounds) if n * rounds <= _KEPT else _drawn(n, seed, rounds)


@lru_cache(maxsize=2)
def _kept_resamples(n: int, seed: int, rounds: int) -> npt.NDArray[np.float32]:
    return np.array(list(_drawn(n, seed, rounds)), dtype=np.float32)


def _drawn(n: int, seed: int, rounds: int) -> Iterable[Drawn]:
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(rng.integers(0, n, n, dtype=np.int32), minlength=n)


def paired_interval(
    a: npt.NDArray[np.floating], b: npt.NDArray[np.floating], seed: int, *, confidence: float = 0.95, rounds: int = 1000
) -> Interval:
    """Bootstrap the mean of ``a - b``, user by user: whether model a beats model b on the same users.

    Raises
    ------
    ValueError
        If the two were not measured on the same number of users.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} users cannot be paired")
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return interval(difference, seed, confidence=confidence, rounds=rounds)


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
