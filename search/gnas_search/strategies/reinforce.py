"""REINFORCE: a policy over genes, pushed towards what was better than usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial

from gnas_search.space import Gene
from gnas_search.space.points import Genes, Point, from_unit, to_unit, values_of
from gnas_search.strategies.learning import Learning
from gnas_search.strategies.proposer import ValuedPoint, tried

_RATE = 0.4
_DECAY = 0.8
_BINS = 6
_LEAST = 0.1
"""Share of the chances that is the same for all choices, whatever was learned."""
_MOST = 2.0
"""Of an advantage, in standard deviations: one failure of a training must not settle a gene."""

Floats = npt.NDArray[np.float64]


def reinforce(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    """Draw every gene from the controller's policy, learned anew from the trials so far.

    The policy is a softmax per gene, of a continuous gene over :data:`_BINS` parts of its range. Every trial is one
    step along the gradient of the log-likelihood of its choices times its advantage: what it was worth above the
    moving average, in standard deviations.

    References
    ----------
    Williams, R. (1992). Simple statistical gradient-following algorithms for connectionist reinforcement learning.
    Machine Learning 8.
    Zoph, B. and Le, Q. (2017). Neural architecture search with reinforcement learning. ICLR.
    """
    # Differs from Zoph and Le: a table of logits, no recurrent network; tens of trials do not train one.
    # Differs from Williams: draws are mixed with the uniform distribution, the gradient is that of the softmax alone.
    rng = np.random.default_rng(seed)
    controller = _LEARNING.of(genes, tried(finished))
    return {name: _drawn(rng, gene, controller.policy[name]) for name, gene in genes.items()}


@dataclass
class _Controller:
    """Logits by gene, and what trials are usually worth: None before the first."""

    policy: dict[str, Floats]
    usual: float | None = None
    spread: float = 0.0


def _begin(genes: Genes) -> _Controller:
    return _Controller({name: np.zeros(_width(gene)) for name, gene in genes.items()})


def _learn(controller: _Controller, genes: Genes, trials: Sequence[ValuedPoint]) -> _Controller:
    for one in trials:
        usual = one.value if controller.usual is None else controller.usual
        advantage = one.value - usual
        controller.spread = _DECAY * controller.spread + (1.0 - _DECAY) * advantage**2
        if controller.spread > 0:
            scaled = float(np.clip(advantage / np.sqrt(controller.spread), -_MOST, _MOST))
            for name, gene in genes.items():
                gradient = -_softmax(controller.policy[name])
                gradient[_place(gene, one.point[name])] += 1.0
                controller.policy[name] += _RATE * scaled * gradient
        controller.usual = _DECAY * usual + (1.0 - _DECAY) * one.value
    return controller


_LEARNING = Learning(_begin, _learn)


def _width(gene: Gene) -> int:
    return _BINS if isinstance(gene, FloatDistribution) else len(values_of(gene))


def _place(gene: Gene, value: Any) -> int:
    if isinstance(gene, FloatDistribution):
        return min(int(to_unit(gene, value) * _BINS), _BINS - 1)
    return values_of(gene).index(value)


def _drawn(rng: np.random.Generator, gene: Gene, logits: Floats) -> Any:
    chances = (1.0 - _LEAST) * _softmax(logits) + _LEAST / len(logits)
    place = int(rng.choice(len(logits), p=chances))
    if isinstance(gene, FloatDistribution):
        return from_unit(gene, (place + rng.random()) / _BINS)
    return values_of(gene)[place]


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max())
    chances: Floats = odds / odds.sum()
    return chances
