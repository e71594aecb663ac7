"""What a strategy remembers of the call before never changes what it proposes."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial

from gnas_search.space.points import random_point
from gnas_search.strategies import STRATEGIES
from gnas_search.strategies.learning import Learning
from gnas_search.strategies.proposer import ValuedPoint

GENES = {
    "rate": FloatDistribution(0.001, 0.1, log=True),
    "depth": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}


def trials(count: int, seed: int) -> list[FrozenTrial]:
    rng = np.random.default_rng(seed)
    return [
        create_trial(params=random_point(rng, GENES), distributions=GENES, value=float(rng.random()))
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_proposals_do_not_depend_on_what_was_asked_before(name: str) -> None:
    """Growing, shrunk, changed in the middle: as if it had been asked for the first time."""
    propose = STRATEGIES[name]
    one, other = trials(45, 1), trials(45, 2)
    asked = [one[:30], one, one[:20], other, [*one[:10], *other[10:]], one]
    first = [propose(some, GENES, 7) for some in asked]
    for some in (other[:15], one[:5]):
        propose(some, GENES, 1)
    assert [propose(some, GENES, 7) for some in asked[::-1]] == first[::-1]


def test_only_what_is_new_is_learned() -> None:
    seen: list[float] = []

    def learn(state: float, _: object, batch: list[ValuedPoint]) -> float:
        seen.extend(one.value for one in batch)
        return state + sum(one.value for one in batch)

    learning = Learning(lambda _: 0.0, learn)  # type: ignore[arg-type]
    told = [ValuedPoint({"depth": 1}, float(value)) for value in range(1, 6)]
    assert learning.of(GENES, told[:3], batch=2) == 3.0
    assert learning.of(GENES, told, batch=2) == 10.0
    assert seen == [1.0, 2.0, 3.0, 4.0]
    assert learning.of({"depth": GENES["depth"]}, told, batch=5) == 15.0  # other genes, another memory
