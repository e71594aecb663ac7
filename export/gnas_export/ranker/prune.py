"""Prune: hidden units that hardly move the order are cut out, and what is left is tuned."""

from __future__ import annotations

import torch
from torch import Tensor

from gnas_export.ranker.distil import STUDENT_RATE, TEACHER_SHARE
from gnas_export.ranker.fitting import Fitted, taught
from gnas_export.ranker.lessons import Lessons
from gnas_export.ranker.network import RankerNetwork

EPOCHS = 3
"""Of the tuning: most of what is left need not be learned again."""


def pruned(network: RankerNetwork, lessons: Lessons, hidden: tuple[int, int], *, seed: int) -> Fitted:
    """Keep so many units of each hidden layer, and tune them on the whole network's chances and the labels.

    Given: a trained network; embeddings, and all else that retrieval gave, stay as they are.
    Result: a network with really smaller matrices.

    Parameters
    ----------
    hidden
        Widths that are left.
    seed
        Of the order.

    References
    ----------
    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019; here by what a unit adds to the
    spread of the scores, which is all that an order rests on.
    """
    smaller = cut(network, lessons, hidden)
    targets = lessons.softened(network, TEACHER_SHARE)
    return taught(smaller, lessons, targets, seed=seed, epochs=EPOCHS, learning_rate=STUDENT_RATE)


def cut(network: RankerNetwork, lessons: Lessons, hidden: tuple[int, int]) -> RankerNetwork:
    """Cut out the units that spread the scores least; what they gave on average goes into the next layer's bias."""
    first_mean, first_spread, second_spread = _activations(network, lessons)
    with torch.no_grad():
        last = network.last[:, 0]
        kept_second = _largest(second_spread * last.abs(), hidden[1])
        # Through the units that are left of the second layer.
        reach = (network.second[:, kept_second] * last[kept_second]).norm(dim=1)
        kept_first = _largest(first_spread * reach, hidden[0])
        gone = torch.ones(len(first_mean), dtype=torch.bool)
        gone[kept_first] = False
        smaller = RankerNetwork(lessons.widths, hidden, 0, torch.Generator().manual_seed(0))
        for name in ("user", "item", "cross"):
            getattr(smaller, name).copy_(getattr(network, name)[:, kept_first])
        smaller.first_bias.copy_(network.first_bias[kept_first])
        smaller.second.copy_(network.second[kept_first][:, kept_second])
        usual = first_mean[gone] @ network.second[gone][:, kept_second]
        smaller.second_bias.copy_(network.second_bias[kept_second] + usual)
        smaller.last.copy_(network.last[kept_second])
        smaller.wide.copy_(network.wide)
    return smaller


def _largest(importance: Tensor, count: int) -> Tensor:
    """Give the places of the largest, ascending; of equal ones the first."""
    return torch.sort(torch.sort(importance, descending=True, stable=True).indices[:count]).values


def _activations(network: RankerNetwork, lessons: Lessons) -> tuple[Tensor, Tensor, Tensor]:
    """Give mean and spread of the first layer's units, and spread of the second's, over all that is learned from.

    The second's means need not be known: what they add to every candidate alike moves no order.
    """
    sums: list[Tensor] = []
    with torch.no_grad():
        for batch in lessons.train.parts():
            real = ~batch.padded
            found = []
            for layer in network.hidden(batch.user, lessons.items[batch.rows], batch.cross):
                values = layer[real].double()  # (candidates, H)
                found += [values.sum(dim=0), (values * values).sum(dim=0)]
            sums = found if not sums else [one + other for one, other in zip(sums, found, strict=True)]
    count = int((~lessons.train.padded).sum())
    first, first_squares, second, second_squares = (one / count for one in sums)
    spreads = [
        (squares - mean * mean).clamp(min=0.0).sqrt().float()
        for mean, squares in ((first, first_squares), (second, second_squares))
    ]
    return first.float(), spreads[0], spreads[1]
