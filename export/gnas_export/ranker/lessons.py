"""Lessons: the candidate lists that rankers learn from, with their labels, some held back to choose epochs by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from gnas_export.ranker.candidates import CandidateList
from gnas_export.ranker.network import RankerNetwork, Scaling, TrainedRanker
from gnas_export.retrieval.index import TOP
from gnas_search.evaluate import rank_metrics
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]

INNER_SHARE = 0.2
_SCORED_AT_ONCE = 256


@dataclass(frozen=True)
class Batch:
    """Some lists as tensors, standardised; the shorter ones are padded.

    Attributes
    ----------
    user_rows : (n,) int64
    user : (n, 1, D)
    cross : (n, C, X)
    rows : (n, C) int64, 0 where padded
    padded : (n, C) bool
    """

    user_rows: Tensor
    user: Tensor
    cross: Tensor
    rows: Tensor
    padded: Tensor

    def take(self, places: Tensor) -> Batch:
        """Give some of the lists."""
        return Batch(*(getattr(self, f.name)[places] for f in fields(self)))

    def parts(self) -> Iterator[Batch]:
        """Give all lists, some at a time, in order."""
        for start in range(0, len(self.rows), _SCORED_AT_ONCE):
            yield self.take(torch.arange(start, min(start + _SCORED_AT_ONCE, len(self.rows))))


@dataclass(frozen=True)
class Lessons:
    """What the rankers of one export learn from: the same lists, inputs and division for all.

    Attributes
    ----------
    users
        How many lists there are, those held back included.
    train
        The lists that are learned from.
    labels : (n, C)
        Of these: each list's relevant candidates share a weight of 1.
    items : (I, F)
        Standardised inputs of all items.
    user, item, cross
        Scalings of the inputs.
    inner, inner_labels
        The lists that are held back, as ``train`` and ``labels``.
    inner_relevant : (m, I) CSR
        All held-out items of their users, those that are no candidates as well.
    """

    users: int
    train: Batch
    labels: Tensor
    items: Tensor
    user: Scaling
    item: Scaling
    cross: Scaling
    inner: Batch
    inner_labels: Tensor
    inner_relevant: sp.csr_matrix

    @classmethod
    def of(cls, lists: list[CandidateList], relevant: sp.csr_matrix, item_inputs: Floats, *, seed: int) -> Lessons:
        """Divide lists and prepare them.

        Parameters
        ----------
        lists
            From :func:`learnable`, at least two.
        relevant : (U, I) CSR
            Validation interactions.
        item_inputs : (I, F) float32
            Raw, of the fit that retrieved.
        seed
            Of the division.
        """
        order = np.random.default_rng(seed).permutation(len(lists))
        inner_count = max(1, round(INNER_SHARE * len(order)))
        inner = [lists[place] for place in order[:inner_count]]
        train = [lists[place] for place in order[inner_count:]]
        user = Scaling.of(np.stack([c.user for c in train]))
        item = Scaling.of(item_inputs)
        cross = Scaling.of(np.concatenate([c.cross for c in train]))
        batch, labels = _batch(train, user, cross), _labels(train, relevant)
        items = torch.from_numpy(item(item_inputs))
        inner_batch, inner_labels = _batch(inner, user, cross), _labels(inner, relevant)
        inner_relevant = relevant[[c.user_row for c in inner]]
        return cls(len(lists), batch, labels, items, user, item, cross, inner_batch, inner_labels, inner_relevant)

    @property
    def widths(self) -> tuple[int, int, int]:
        """Number of user, item and cross inputs."""
        return self.train.user.shape[2], self.items.shape[1], self.train.cross.shape[2]

    def trained(self, network: RankerNetwork) -> TrainedRanker:
        """Give a network with the scalings of its inputs."""
        return TrainedRanker(network, self.user, self.item, self.cross)

    def scores(self, network: nn.Module, batch: Batch) -> Tensor:
        """Score lists, (n, C)."""
        scored: Tensor = network(batch.user, self.items[batch.rows], batch.cross)
        return scored

    def log_chances(self, network: nn.Module, batch: Batch) -> Tensor:
        """Give the logarithm of each candidate's chance to be the first of its list, (n, C); -inf where padded."""
        return self.scores(network, batch).masked_fill(batch.padded, float("-inf")).log_softmax(dim=1)

    def chances(self, teacher: nn.Module) -> tuple[Tensor, Tensor]:
        """Give what a teacher thinks of the candidates: (n, C) of what is learned from, (m, C) of what is held back."""

        def found(lists: Batch) -> Tensor:
            with torch.no_grad():
                return torch.cat([self.log_chances(teacher, batch).exp() for batch in lists.parts()])

        return found(self.train), found(self.inner)

    def mixed(self, chances: tuple[Tensor, Tensor], share: float) -> tuple[Tensor, Tensor]:
        """Mix the labels with what a teacher thinks: (n, C) to learn from, (m, C) held back.

        Parameters
        ----------
        chances
            From :meth:`chances`.
        share
            Of the teacher.
        """
        learned, held_back = chances
        return share * learned + (1.0 - share) * self.labels, share * held_back + (1.0 - share) * self.inner_labels

    def softened(self, teacher: nn.Module, share: float) -> tuple[Tensor, Tensor]:
        """Mix the labels with what this teacher thinks, as :meth:`mixed` does."""
        return self.mixed(self.chances(teacher), share)

    def batch(self, lists: list[CandidateList]) -> Batch:
        """Prepare further lists, of whatever users, as those that are learned from."""
        return _batch(lists, self.user, self.cross)

    def tops(self, network: nn.Module, lists: Batch) -> list[npt.NDArray[np.int64]]:
        """Rank lists: the first rows of each."""
        tops = []
        for batch in lists.parts():
            with torch.no_grad():
                scores = self.scores(network, batch).numpy()
            for scored, rows, padded in zip(scores, batch.rows.numpy(), batch.padded.numpy(), strict=True):
                length = len(rows) - int(padded.sum())
                tops.append(rows[top_k(scored[:length], TOP)])
        return tops

    def inner_ndcg(self, network: nn.Module) -> npt.NDArray[np.float64]:
        """Measure a network on the lists that are held back, one by one."""
        return rank_metrics(self.tops(network, self.inner), self.inner_relevant, k=TOP).ndcg

    def inner_likelihood(self, network: nn.Module, targets: Tensor) -> npt.NDArray[np.float64]:
        """Measure how likely a network holds the targets of the lists that are held back, one by one, in logarithms."""
        with torch.no_grad():
            found = torch.cat([self.log_chances(network, batch) for batch in self.inner.parts()])
        return log_likelihood(found, targets).double().numpy()


def log_likelihood(log_chances: Tensor, targets: Tensor) -> Tensor:
    """Give the likelihood of each list's targets, (n,): minus the cross-entropy.

    Where the target is 0, so is the summand, also of padding, whose logarithm is -inf.
    """
    return (targets * log_chances.masked_fill(targets == 0.0, 0.0)).sum(dim=1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: sums in one order, so equal inputs give equal bytes on any number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def learnable(lists: list[CandidateList], relevant: sp.csr_matrix) -> list[CandidateList]:
    """Keep the lists that hold a relevant candidate and another to tell it from."""
    kept = []
    for candidate_list in lists:
        hits = np.isin(candidate_list.rows, _relevant_of(relevant, candidate_list.user_row))
        if hits.any() and not hits.all():
            kept.append(candidate_list)
    return kept


def _batch(lists: list[CandidateList], user: Scaling, cross: Scaling) -> Batch:
    longest = max(len(c.rows) for c in lists)
    rows = np.zeros((len(lists), longest), dtype=np.int64)
    padded = np.ones((len(lists), longest), dtype=bool)
    crossed = np.zeros((len(lists), longest, lists[0].cross.shape[1]), dtype=np.float32)
    for place, c in enumerate(lists):
        length = len(c.rows)
        rows[place, :length] = c.rows
        padded[place, :length] = False
        crossed[place, :length] = cross(c.cross)
    user_rows = np.array([c.user_row for c in lists], dtype=np.int64)
    users = user(np.stack([c.user for c in lists]))[:, None]
    return Batch(*(torch.from_numpy(array) for array in (user_rows, users, crossed, rows, padded)))


def _labels(lists: list[CandidateList], relevant: sp.csr_matrix) -> Tensor:
    labels = np.zeros((len(lists), max(len(c.rows) for c in lists)), dtype=np.float32)
    for place, c in enumerate(lists):
        labels[place, : len(c.rows)] = np.isin(c.rows, _relevant_of(relevant, c.user_row))
    labels /= labels.sum(axis=1, keepdims=True)  # every user counts alike, whatever the number of relevant candidates
    return torch.from_numpy(labels)


def _relevant_of(relevant: sp.csr_matrix, user_row: int) -> npt.NDArray[np.int32]:
    rows: npt.NDArray[np.int32] = relevant.indices[relevant.indptr[user_row] : relevant.indptr[user_row + 1]]
    return rows
