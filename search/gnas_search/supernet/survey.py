"""Survey: what a supernet is asked, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.space import NetworkSpace
from gnas_search.strategies.shortlist import Listed
from gnas_search.supernet.choices import Allowed, everything
from gnas_search.supernet.course import Heard, Step

TRAINING_SHARE = 0.7
"""Of the time until the deadline; the rest is for ranking."""


def _unheard(step: Step) -> None:
    pass


@dataclass(frozen=True)
class Survey:
    """What a supernet is asked: the best networks of a space, by weights that they share.

    Attributes
    ----------
    space
        Restricted to its data.
    graph, validation
        What it is trained on and judged by.
    seed
        Of everything drawn.
    training_ends, ends
        A ``time.monotonic()`` each; None for none.
    allowed
        Which networks are feasible.
    known
        Keys of networks that need not be found again.
    heard
        Is told how it goes.
    """

    space: NetworkSpace
    graph: InteractionGraph
    validation: Validation
    seed: int
    training_ends: float | None = None
    ends: float | None = None
    allowed: Allowed = everything
    known: Collection[str] = ()
    heard: Heard = _unheard

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.ends is not None and time.monotonic() >= self.ends


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes
    ----------
    listed
        Best first.
    epochs
        That the supernet was trained.
    ranked
        How many networks were judged by the shared weights: of those that are known already, none.
    cut_short
        Whether time ended it.
    """

    listed: tuple[Listed, ...]
    epochs: int
    ranked: int
    cut_short: bool = False
