"""Distil: a narrower network learns from what a wider one thinks of every candidate, not from the labels alone."""

from __future__ import annotations

import torch
from torch import Tensor

from gnas_export.ranker.fitting import LEARNING_RATE, Fitted, taught
from gnas_export.ranker.lessons import Lessons
from gnas_export.ranker.network import RankerNetwork

TEACHER_SHARE = 0.5
"""Of what a student learns from: the rest are the labels."""
STUDENT_RATE = 10.0 * LEARNING_RATE
"""Of fewer units each has to move further: of a student's, and of those that pruning leaves. On Gowalla (16, 16) units
came to a likelihood of -5.2013 on the lists held back, and to -5.2036 at three times the teacher's rate or -5.2024 in
twice the epochs of that; (64, 32) that pruning left to -5.2017, and to -5.2034 at the teacher's."""


def distilled(
    teacher: RankerNetwork,
    lessons: Lessons,
    hidden: tuple[int, int],
    *,
    seed: int,
    thoughts: tuple[Tensor, Tensor] | None = None,
) -> Fitted:
    """Train a student on its teacher's chances and the labels.

    A label says which of 300 candidates was right; the teacher says of each how right it was.

    Given: a trained teacher.
    Result: a network of the given widths. It begins as the teacher's linear path.

    Parameters
    ----------
    hidden
        Widths of the student's hidden layers.
    seed
        Of the weights and the order.
    thoughts : (n, C), (m, C), or None
        The chances of another teacher to be followed instead.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015. For rankings: Tang and Wang,
    "Ranking Distillation", KDD 2018.
    """
    # Differs from Hinton et al.: the temperature is 1, as the chances of a list of candidates are soft as they are.
    student = _beginning(teacher, lessons, hidden, seed)
    targets = lessons.mixed(lessons.chances(teacher) if thoughts is None else thoughts, TEACHER_SHARE)
    return taught(student, lessons, targets, seed=seed, learning_rate=STUDENT_RATE)


def unlearned(teacher: RankerNetwork, lessons: Lessons, hidden: tuple[int, int], *, seed: int) -> Fitted:
    """Give the narrower network that ranks as a teacher does which learned nothing: its linear path, and no more.

    Given: a teacher whose training kept epoch 0.
    Result: the same scores of fewer bytes; there is nothing to learn from it.
    """
    student = _beginning(teacher, lessons, hidden, seed)
    student.eval()
    return Fitted(lessons.users, (float(lessons.inner_ndcg(student).mean()),), 0, ranker=lessons.trained(student))


def _beginning(teacher: RankerNetwork, lessons: Lessons, hidden: tuple[int, int], seed: int) -> RankerNetwork:
    student = RankerNetwork(lessons.widths, hidden, 0, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        student.wide.copy_(teacher.wide)
    return student
