"""Train the ranker on what retrieval really returns: the teacher first, then whatever is narrower than it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gnas_export.ranker.lessons import Lessons, log_likelihood, one_thread
from gnas_export.ranker.network import RankerNetwork, TrainedRanker
from gnas_search.optimizer import Adam

MAX_USERS = 24_576
"""Whose lists are learned from: 300 candidates each, .4 GB of inputs. On Gowalla, over 5,000 other users, 4,096 of them
gained .3 % of ndcg@20 in one study and 19,818 gained 3 % in another, which 11,900 did in one of two seeds."""
MIN_USERS = 20
EPOCHS = 8
_MOST_EPOCHS, _FEW_STEPS = 20, 320  # little data: more epochs, until so many steps are made
_BATCH_USERS, _FEW_USERS = 64, 8  # of little data smaller batches, 16 an epoch
LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-4


@dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes
    ----------
    users
        Lists that it learned from; others have no relevant candidate.
    inner
        On the inner split, of what the network began as (epoch 0) and after each epoch: of a teacher ndcg@20, of a
        network that was taught the likelihood of what its teacher thinks, in logarithms.
    best_epoch
        Whose weights were kept; 0 is what it began as.
    """

    users: int
    inner: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True)
class Fitted(Course):
    """A trained ranker and how its training went."""

    ranker: TrainedRanker


def fit_ranker(lessons: Lessons, *, hidden: tuple[int, int], score_column: int, seed: int) -> Fitted:
    """Fit by listwise softmax cross-entropy, beginning with retrieval's own order.

    Parameters
    ----------
    lessons
        Of at least :data:`MIN_USERS` users.
    hidden
        Widths of the hidden layers.
    score_column
        Which cross input is the retriever's standardised score.
    seed
        Of the weights and the order.

    References
    ----------
    Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007 (top-one probability).
    """
    network = RankerNetwork(lessons.widths, hidden, score_column, torch.Generator().manual_seed(seed))
    course = learned(network, lessons, lessons.labels, lessons.inner_ndcg, seed=seed)
    return Fitted(**vars(course), ranker=lessons.trained(network))


def taught(
    network: RankerNetwork,
    lessons: Lessons,
    targets: tuple[Tensor, Tensor],
    *,
    seed: int,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
) -> Fitted:
    """Train a network until it thinks as its teacher does.

    How near it comes to what it is taught is told by every candidate of a list; by its ndcg, on labels alone, a student
    could not be told from its beginning (3,000 users of MovieLens: within .4 % of each other after any epoch).

    Parameters
    ----------
    network
        Trained in its place.
    targets : (n, C), (m, C)
        From :meth:`Lessons.softened`.
    seed
        Of the order.
    epochs
        Of little data there are more.
    """
    towards, held_back = targets

    def worth(student: nn.Module) -> npt.NDArray[np.float64]:
        return lessons.inner_likelihood(student, held_back)

    course = learned(network, lessons, towards, worth, seed=seed, epochs=epochs, learning_rate=learning_rate)
    return Fitted(**vars(course), ranker=lessons.trained(network))


def learned(
    network: nn.Module,
    lessons: Lessons,
    targets: Tensor,
    worth: Callable[[nn.Module], npt.NDArray[np.float64]],
    *,
    seed: int,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
) -> Course:
    """Train a network until its chances are those of the targets.

    The learning rate falls along a cosine to the last epoch, which is kept unless an inner split of the users says that
    it is worse than another. On Gowalla, 19,818 users and two seeds, a falling rate gained 3.2 and 2.9 % of ndcg@20
    over retrieval, on 5,000 other users; a constant one, stopped after 3 epochs without a gain, 2.7 and 2.8 % in half
    as much time again (the best epoch kept, both times).

    Parameters
    ----------
    network
        Trained in its place.
    targets : (n, C)
        Of the lists that are learned from: what chance each candidate should have, 0 where padded.
    worth
        Of a network, on each list that is held back: what the epoch is chosen by.
    seed
        Of the order.
    epochs
        Of little data there are more.
    """
    rng = np.random.default_rng(seed)
    count = len(targets)
    batch_users, batches, epochs = timetable(count, epochs)
    optimizer = optimizer_of(network, learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    history = [worth(network)]
    states = [copy.deepcopy(network.state_dict())]
    with one_thread():
        for _ in range(epochs):
            shuffled = rng.permutation(count)
            for start in range(0, count, batch_users):
                places = torch.from_numpy(shuffled[start : start + batch_users])
                train_step(network, lessons, places, targets, optimizer)
                schedule.step()
            history.append(worth(network))
            states.append(copy.deepcopy(network.state_dict()))
    kept = _kept_epoch(history)
    network.load_state_dict(states[kept])
    network.eval()
    return Course(lessons.users, tuple(float(worths.mean()) for worths in history), kept)


def timetable(count: int, epochs: int = EPOCHS) -> tuple[int, int, int]:
    """Say how so many lists are learned from: lists in a batch, batches in an epoch, epochs."""
    batch_users = min(_BATCH_USERS, max(_FEW_USERS, count // 16))
    batches = -(-count // batch_users)
    return batch_users, batches, max(epochs, min(_MOST_EPOCHS, _FEW_STEPS // batches))


def optimizer_of(network: nn.Module, learning_rate: float = LEARNING_RATE) -> torch.optim.Optimizer:
    """Give what moves the weights of a network."""
    # In one kernel: of so small a network a step weight by weight takes four times as long.
    return Adam(
        network.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY, fused=True, decoupled_weight_decay=True
    )


def train_step(
    network: nn.Module, lessons: Lessons, places: Tensor, targets: Tensor, optimizer: torch.optim.Optimizer
) -> None:
    """Move the weights of a network towards the targets of some lists."""
    optimizer.zero_grad()
    log_chances = lessons.log_chances(network, lessons.train.take(places))
    loss = -log_likelihood(log_chances, targets[places]).mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()


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
