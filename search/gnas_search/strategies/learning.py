"""Learning: what a strategy has learned from the trials so far, carried on from the call before where it can be."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gnas_search.space.points import Genes
from gnas_search.strategies.proposer import ValuedPoint

State = TypeVar("State")


@dataclass
class Learning(Generic[State]):
    """A fold over trials, in the order drawn.

    A strategy keeps nothing between two calls: what it knows follows from the trials. To go through all of them for
    every draw takes longer than many a trial, so the last state is remembered for each set of genes, and what it gives
    is what a fold from the beginning would.

    Attributes
    ----------
    begin
        Gives the state before the first trial.
    learn
        Gives the state after further trials, a batch of them; may change the one that it is given.
    copied
        Gives what a caller may do with a state as it does, the state being left as it is.
    """

    begin: Callable[[Genes], State]
    learn: Callable[[State, Genes, Sequence[ValuedPoint]], State]
    copied: Callable[[State], State] = copy.deepcopy
    _last: dict[tuple[str, ...], tuple[Genes, list[ValuedPoint], State]] = field(default_factory=dict)

    def of(self, genes: Genes, tried: Sequence[ValuedPoint], *, batch: int = 1) -> State:
        """Give a copy of the state after all whole batches of trials."""
        # Taken out meanwhile: a state that an error left half way is none to go on from.
        known, before, state = self._last.pop(tuple(genes), (None, [], None))
        if state is None or known != genes or tried[: len(before)] != before:
            before, state = [], self.begin(genes)
        whole = len(tried) - len(tried) % batch
        for start in range(len(before), whole, batch):
            state = self.learn(state, genes, tried[start : start + batch])
        self._last[tuple(genes)] = dict(genes), list(tried[:whole]), state
        return self.copied(state)
