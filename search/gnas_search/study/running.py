"""A trial under way, as the driver knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

from gnas_search.epoch import EpochResult
from gnas_search.specs import BranchSpec


@dataclass
class Running:
    """A trial that a slot trains, and how many models were known when it was drawn."""

    trial: FrozenTrial
    spec: BranchSpec
    family: str
    known: int
    epochs: list[EpochResult] = field(default_factory=list)
