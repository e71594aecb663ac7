"""Train the ranker on what retrieval really returns."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from gnas_export.candidates import CandidateList
from gnas_export.network import RankerNetwork, Scaling, TrainedRanker
from gnas_search.evaluate import rank_metrics
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]

MAX_USERS = 24_576
"""Whose lists are learned from: 300 candidates each, .4 GB of inputs. On Gowalla, over 5,000 other users, 4,096 of them
gained .3 % of ndcg@20 in one study and 19,818 gained 3 % in another, which 11,900 did in one of two seeds."""
MIN_USERS = 20
_EPOCHS = 8
_MOST_EPOCHS, _FEW_STEPS = 20, 320  # little data: more epochs, until so many steps are made
_BATCH_USERS, _FEW_USERS = 64, 8  # of little data smaller batches, 16 an epoch
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-4
_INNER_SHARE = 0.2
_K = 20


@dataclass(frozen=True)
class Fitted:
    """A trained ranker and how its training went.

    Attributes
    ----------
    users
        Lists that it learned from; others have no relevant candidate.
    inner_ndcg
        On the inner split, of retrieval's order (epoch 0) and after each epoch.
    best_epoch
        Whose weights were kept; 0 is retrieval's own order.
    """

    ranker: TrainedRanker
    users: int
    inner_ndcg: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True)
class _Prepared:
    user: torch.Tensor  # (n, 1, D)
    cross: torch.Tensor  # (n, C, X)
    rows: torch.Tensor  # (n, C), 0 where padded
    padded: torch.Tensor  # (n, C) bool
    relevant: torch.Tensor  # (n, C) bool

    def take(self, places: torch.Tensor) -> _Prepared:
        return _Prepared(*(getattr(self, name)[places] for name in self.__dataclass_fields__))


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


def fit_ranker(
    lists: list[CandidateList],
    relevant: sp.csr_matrix,
    item_inputs: Floats,
    *,
    hidden: tuple[int, int],
    score_column: int,
    seed: int,
) -> Fitted:
    """Fit by listwise softmax cross-entropy.

    The learning rate falls along a cosine to the last epoch, which is kept unless an inner split of the users says that
    it is worse than another. On Gowalla, 19,818 users and two seeds, a falling rate gained 3.2 and 2.9 % of ndcg@20
    over retrieval, on 5,000 other users; a constant one, stopped after 3 epochs without a gain, 2.7 and 2.8 % in half
    as much time again (the best epoch kept, both times).

    Parameters
    ----------
    lists
        Of the ranker-fitting users; from :func:`learnable`, at least :data:`MIN_USERS`.
    relevant : (U, I) CSR
        Validation interactions.
    item_inputs : (I, F) float32
        Raw, of the fit that retrieved.
    hidden
        Widths of the hidden layers.
    score_column
        Which cross input is the retriever's standardised score.
    seed
        Of the weights, the split and the order.

    References
    ----------
    Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007 (top-one probability).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lists))
    inner_count = max(1, round(_INNER_SHARE * len(order)))
    inner = [lists[place] for place in order[:inner_count]]
    train = [lists[place] for place in order[inner_count:]]
    scalings = (
        Scaling.of(np.stack([c.user for c in train])),
        Scaling.of(item_inputs),
        Scaling.of(np.concatenate([c.cross for c in train])),
    )
    generator = torch.Generator().manual_seed(seed)
    widths = (train[0].user.shape[0], item_inputs.shape[1], train[0].cross.shape[1])
    network = RankerNetwork(widths, hidden, score_column, generator)
    fitted = TrainedRanker(network, *scalings)
    items = torch.from_numpy(fitted.item(item_inputs))
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    history = [_inner_ndcg(fitted, inner, relevant, item_inputs)]
    states = [copy.deepcopy(network.state_dict())]
    prepared = _prepare(train, relevant, fitted)
    batch_users = min(_BATCH_USERS, max(_FEW_USERS, len(train) // 16))
    batches = -(-len(train) // batch_users)
    epochs = max(_EPOCHS, min(_MOST_EPOCHS, _FEW_STEPS // batches))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    with one_thread():
        for _ in range(epochs):
            shuffled = rng.permutation(len(train))
            for start in range(0, len(shuffled), batch_users):
                batch = torch.from_numpy(shuffled[start : start + batch_users])
                optimizer.zero_grad()
                _loss(network, prepared.take(batch), items).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                schedule.step()
            history.append(_inner_ndcg(fitted, inner, relevant, item_inputs))
            states.append(copy.deepcopy(network.state_dict()))
    kept = _kept_epoch(history)
    network.load_state_dict(states[kept])
    network.eval()
    return Fitted(fitted, len(train) + len(inner), tuple(float(ndcg.mean()) for ndcg in history), kept)


def _kept_epoch(history: list[npt.NDArray[np.float64]]) -> int:
    """Choose the last epoch that is not worse than the best by a standard error of their difference, user by user.

    Which epoch is best on the inner split is mostly chance; the last ones, of small learning rates, differ little. On
    Gowalla the best was once the first, which gained 1.4 % where the last of other fits gained 2.3 to 2.9 %.
    """
    best = max(range(len(history)), key=lambda epoch: float(history[epoch].mean()))
    if best == 0:
        return 0
    for epoch in reversed(range(best, len(history))):
        lost = history[best] - history[epoch]
        if float(lost.mean()) <= float(lost.std()) / len(lost) ** 0.5:
            return epoch
    return best


def _loss(network: RankerNetwork, batch: _Prepared, items: torch.Tensor) -> torch.Tensor:
    scores: torch.Tensor = network(batch.user, items[batch.rows], batch.cross).masked_fill(batch.padded, float("-inf"))
    log_chance = scores.log_softmax(dim=1)
    # Every user counts alike, whatever the number of relevant candidates.
    per_user = log_chance.masked_fill(~batch.relevant, 0.0).sum(dim=1) / batch.relevant.sum(dim=1)
    return -per_user.mean()


def _prepare(lists: list[CandidateList], relevant: sp.csr_matrix, fitted: TrainedRanker) -> _Prepared:
    longest = max(len(c.rows) for c in lists)
    rows = np.zeros((len(lists), longest), dtype=np.int64)
    padded = np.ones((len(lists), longest), dtype=bool)
    hits = np.zeros((len(lists), longest), dtype=bool)
    cross = np.zeros((len(lists), longest, lists[0].cross.shape[1]), dtype=np.float32)
    for place, c in enumerate(lists):
        length = len(c.rows)
        rows[place, :length] = c.rows
        padded[place, :length] = False
        hits[place, :length] = np.isin(c.rows, _relevant_of(relevant, c.user_row))
        cross[place, :length] = fitted.cross(c.cross)
    user = fitted.user(np.stack([c.user for c in lists]))[:, None]
    return _Prepared(*(torch.from_numpy(array) for array in (user, cross, rows, padded, hits)))


def _inner_ndcg(
    fitted: TrainedRanker, lists: list[CandidateList], relevant: sp.csr_matrix, item_inputs: Floats
) -> npt.NDArray[np.float64]:
    tops = [c.rows[top_k(fitted.score(c.user, item_inputs[c.rows], c.cross), _K)] for c in lists]
    return rank_metrics(tops, relevant[[c.user_row for c in lists]], k=_K).ndcg


def _relevant_of(relevant: sp.csr_matrix, user_row: int) -> npt.NDArray[np.int32]:
    rows: npt.NDArray[np.int32] = relevant.indices[relevant.indptr[user_row] : relevant.indptr[user_row + 1]]
    return rows
