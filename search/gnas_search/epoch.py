"""Epoch: what a training has to say of one."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochResult:
    """One epoch and its validation.

    Attributes
    ----------
    epoch
        From 1.
    loss
        Mean training loss per user.
    ndcg
        Mean validation ndcg.
    quality
        What the validation's judge says, the higher the better; None where it has none, and ndcg says it.
    seconds
        Training and validation.
    train_s
        Training alone.
    """

    epoch: int
    loss: float
    ndcg: float
    seconds: float
    train_s: float = math.nan
    quality: float | None = None

    @property
    def worth(self) -> float:
        """What epochs are chosen by, the higher the better."""
        return self.ndcg if self.quality is None else self.quality
