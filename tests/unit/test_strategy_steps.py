"""The steps of strategies of our own, against what their papers say of one step."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from cmaes import CatCMAwM
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from gnas_search.strategies import STRATEGIES
from gnas_search.strategies.evolution import POPULATION
from gnas_search.strategies.proposer import ValuedPoint
from gnas_search.strategies.tally import REJECTED

cma_es, genetic, nsga2, reinforce, swarm = (
    import_module(f"gnas_search.strategies.{name}") for name in ("cma_es", "genetic", "nsga2", "reinforce", "swarm")
)  # the package has functions of these names

KINDS = {"kind": CategoricalDistribution(["a", "b", "c"])}
RATES = {"rate": FloatDistribution(0.0, 1.0), "width": FloatDistribution(0.0, 1.0)}


def of(genes: dict[str, Any], point: dict[str, Any], *values: float, **attributes: Any) -> FrozenTrial:
    return create_trial(params=point, distributions=genes, values=list(values), user_attrs=attributes)


def test_reinforce_goes_up_the_gradient_of_the_likelihood_times_the_advantage() -> None:
    told = [ValuedPoint({"kind": "a"}, 0.5), ValuedPoint({"kind": "b"}, 0.9), ValuedPoint({"kind": "c"}, 0.1)]
    found = reinforce._learn(reinforce._begin(KINDS), KINDS, told).policy["kind"]
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    usual, spread = 0.5, 0.0
    for place, one in enumerate(told):
        advantage = one.value - usual
        spread = 0.8 * spread + 0.2 * advantage**2
        if spread:
            gradient = torch.autograd.grad(torch.log_softmax(logits, 0)[place], logits)[0]
            step = 0.4 * float(np.clip(advantage / np.sqrt(spread), -2, 2))
            logits = (logits.detach() + step * gradient).requires_grad_()
        usual = 0.8 * usual + 0.2 * one.value
    np.testing.assert_allclose(found, logits.detach().numpy(), rtol=1e-12)
    assert found[1] > 0 > found[2]


def test_a_particle_flies_on_and_is_drawn_to_both_bests(monkeypatch: pytest.MonkeyPatch) -> None:
    class Halves:
        def random(self, count: int) -> Any:
            return np.full(count, 0.5)

    places = [(0.2, 0.2), *[(0.5, 0.5)] * 9, (0.3, 0.25)]  # of particle 0 the first and the last; its turn comes at 20
    finished = [of(RATES, {"rate": x, "width": y}, 1.0 - x) for x, y in places] + [
        of(RATES, {"rate": 0.6, "width": 0.6}, 0.1) for _ in range(9)
    ]
    monkeypatch.setattr(swarm.np.random, "default_rng", lambda _: Halves())
    point = swarm.particle_swarm(finished, RATES, 0)
    for name, here, past in (("rate", 0.3, 0.2), ("width", 0.25, 0.2)):
        pull = 1.4962 * 0.5 * (past - here)  # its own best and that of all are its first place
        assert point[name] == pytest.approx(here + 0.7298 * (here - past) + 2 * pull)


def test_cma_es_is_the_library_told_generation_by_generation() -> None:
    rng = np.random.default_rng(0)
    points = [{"rate": float(x), "width": float(y)} for x, y in rng.random((23, 2))]
    finished = [of(RATES, point, -((point["rate"] - 0.3) ** 2)) for point in points]
    library = CatCMAwM(x_space=[[0.0, 1.0]] * 2)
    size = library.population_size
    for start in range(0, len(points) - size + 1, size):
        told = [
            (CatCMAwM.Solution(x, np.array([]), None, x), -float(trial.values[0]))
            for trial in finished[start : start + size]
            for x in [np.array([trial.params["rate"], trial.params["width"]])]
        ]
        library.tell(told)
    library.reseed_rng(5)
    drawn = library.ask()
    found = cma_es.cma_es(finished, RATES, 5)
    np.testing.assert_allclose([found["rate"], found["width"]], drawn.x)


@pytest.mark.parametrize("module", [genetic, nsga2])
def test_a_point_counts_by_the_best_that_it_was_worth(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where training settings are tuned: one setting, with several architectures."""
    seen: list[Any] = []

    def child(rng: object, population: Any, genes: object, finished: object) -> dict[str, Any]:
        seen.extend(population)
        return dict(population[-1])

    monkeypatch.setattr(module, "child_of", child)
    one = {"rate": FloatDistribution(0.0, 1.0)}
    values = [(0.0, 0.0), *((place / 100, place / 100) for place in range(1, 40)), (0.0, 0.9)]
    propose = genetic.genetic if module is genetic else nsga2.nsga2
    propose([of(one, {"rate": rate}, worth) for rate, worth in values], one, 0)
    rates = [point["rate"] for point in seen]
    assert rates[-1] == 0.0  # worth .9
    assert rates == [*sorted(rates[:-1]), 0.0]
    assert len(set(rates)) == len(rates) == module.POPULATION


def with_rejected(name: str, measured: int) -> tuple[list[Any], list[Any]]:
    """Give what a strategy proposes after some trials, and after as many and some that were rejected."""
    good = [of(RATES, {"rate": 0.5, "width": place / 100}, 1.0 + place / 100) for place in range(measured)]
    rejected = [of(RATES, {"rate": 0.9, "width": place / 100}, 0.0, **{REJECTED: True}) for place in range(30)]
    alone, among = ([STRATEGIES[name](told, RATES, seed) for seed in range(3)] for told in (good, [*good, *rejected]))
    return alone, among


@pytest.mark.parametrize("name", ["darts", "evolution", "genetic", "nsga-ii", "one-shot", "particle-swarm"])
def test_what_was_rejected_is_no_member_of_a_population(name: str) -> None:
    """Neither in the place of one that was measured nor where there are too few of those."""
    for measured in (1, POPULATION - 1, nsga2.POPULATION):
        alone, among = with_rejected(name, measured)
        assert among == alone


@pytest.mark.parametrize("name", ["cma-es", "gp", "reinforce", "tpe"])
def test_what_models_the_space_learns_of_what_was_rejected(name: str) -> None:
    alone, among = with_rejected(name, nsga2.POPULATION)
    assert among != alone
