"""Every strategy searches for several objectives; the genetic ones find a better front than chance does."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from gnas_search.architecture import ArchitectureSpec
from gnas_search.space import Gene, SearchSpace
from gnas_search.strategies import STRATEGIES, make_strategy
from gnas_search.strategies.nsga2 import POPULATION, crowding_distances, fronts, nsga2, ranked
from gnas_search.strategies.proposer import Proposer
from gnas_search.strategies.scalarisation import as_one, scalarised
from gnas_search.strategies.tally import FAMILY

GENES: dict[str, Gene] = {
    "width": CategoricalDistribution([16, 32, 64, 128]),
    "depth": IntDistribution(0, 3),
    "rate": FloatDistribution(1e-3, 1e-1, log=True),
    "kind": CategoricalDistribution(["a", "b", "c"]),
    "first": CategoricalDistribution(["a", "b", "c", "d"]),
    "second": CategoricalDistribution(["a", "b", "c", "d"]),
    "share": FloatDistribution(0.0, 1.0),
}
Floats = npt.NDArray[np.float64]
TABLES = st.integers(1, 3).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 5), min_size=m, max_size=m), min_size=1, max_size=12)
)


def toy(point: dict[str, object]) -> tuple[float, float]:
    """A quality to have much of and a cost to have little of, which is traded by width and depth."""
    width, depth, rate = float(point["width"]), float(point["depth"]), float(point["rate"])  # type: ignore[arg-type]
    wrong = (math.log10(rate) + 2.0) ** 2 + (float(point["share"]) - 0.3) ** 2  # type: ignore[arg-type]
    wrong += sum(0.4 * "abcd".index(str(point[name])) for name in ("kind", "first", "second"))
    return math.log2(width) + depth - wrong, width * (1.0 + depth) * (1.0 + wrong)


def volume(found: list[tuple[float, float]]) -> float:
    """Measure what a front dominates of the square between the worst and the best of both objectives, logs of costs."""
    total, best = 0.0, 0.0
    unit = sorted(((math.log2(cost) - 4.0) / 6.0, (quality + 4.0) / 14.0) for quality, cost in found)
    for (x, y), (after, _) in zip(unit, [*unit[1:], (1.0, 0.0)], strict=True):
        best = max(best, y)
        total += max(0.0, min(after, 1.0) - x) * best
    return total


def search(name: str, seed: int, count: int) -> list[tuple[float, float]]:
    study = optuna.create_study(directions=["maximize", "minimize"])
    strategy = make_strategy(name, "gnn", _Space(), seed)  # type: ignore[arg-type]
    found = []
    for _ in range(count):
        study.enqueue_trial(strategy.propose(study), user_attrs={FAMILY: "gnn"})
        trial = study.ask(GENES)
        found.append(toy(trial.params))
        study.tell(trial, found[-1])
    return found


@cache
def mean_volume(name: str) -> float:
    return float(np.mean([volume(search(name, seed, 90)) for seed in range(5)]))


class _Space:
    genes = GENES


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_stays_inside_the_space_and_repeats_itself(name: str) -> None:
    assert search(name, 0, 20) == search(name, 0, 20)


@pytest.mark.parametrize("name", ["genetic", "nsga-ii"])
def test_finds_a_better_front_than_chance(name: str) -> None:
    assert mean_volume(name) > mean_volume("random") + 0.03


def test_a_failed_trial_says_nothing() -> None:
    params = {"width": 16, "depth": 1, "rate": 0.01, "kind": "a", "first": "a", "second": "a", "share": 0.5}
    seen: list[list[FrozenTrial]] = []

    def spy(finished: object, genes: object, seed: int) -> dict[str, object]:
        seen.append(list(finished))  # type: ignore[call-overload]
        return dict(params)

    proposer: Proposer = scalarised(spy)  # type: ignore[arg-type]
    good = create_trial(values=[1.0, 2.0], params=params, distributions=GENES)
    bad = create_trial(state=TrialState.FAIL, params=params, distributions=GENES)
    proposer([good, bad], GENES, 3)
    assert [trial.value for trial in seen[0]] == [0.0, None]  # the best in all that it was seen beside


@given(TABLES)
def test_fronts_are_what_nothing_left_dominates(rows: list[list[int]]) -> None:
    values = np.array(rows, dtype=np.float64)
    found = list(fronts(values))
    assert sorted(place for front in found for place in front) == list(range(len(values)))

    def dominates(one: int, other: int) -> bool:
        return bool((values[one] >= values[other]).all() and (values[one] > values[other]).any())

    for number, front in enumerate(found):
        left = [place for later in found[number:] for place in later]
        assert front == [place for place in sorted(left) if not any(dominates(other, place) for other in left)]


def test_the_ends_of_a_front_and_its_thin_places_come_first() -> None:
    values = np.array([[0.0, 4.0], [1.0, 3.0], [1.1, 2.9], [4.0, 0.0], [0.0, 0.0]])
    assert np.isinf(crowding_distances(values[:4])[[0, 3]]).all()
    assert list(ranked(values)) == [0, 3, 2, 1, 4]


@given(TABLES)
def test_a_scalar_respects_domination(rows: list[list[int]]) -> None:
    values = np.array(rows, dtype=np.float64)
    weights = np.full(values.shape[1], 1.0 / values.shape[1])
    found = as_one(values, weights)
    for one in range(len(values)):
        for other in range(len(values)):
            if (values[one] >= values[other]).all():
                assert found[one] >= found[other] - 1e-12


def test_of_two_equally_bad_at_the_worst_the_better_one_is_better() -> None:
    values = np.array([[0.0, 2.0], [0.0, 1.0], [4.0, 0.0]])
    found = as_one(values, np.array([0.9, 0.1]))
    assert found[0] > found[1]


def test_children_are_of_the_better_points() -> None:
    """Half of the population are good and half are bad: a gene that tells them apart says whose children are drawn."""
    trials = []
    for number in range(POPULATION):
        good = number % 2 == 0
        point = {"width": 16, "depth": number % 4, "rate": 0.01, "kind": "a" if good else "c", "first": "a"}
        point |= {"second": "a", "share": number / POPULATION}
        value = 1.0 + number / 100 if good else -number / 100
        trials.append(create_trial(values=[value, value], params=point, distributions=GENES))
    kinds = [nsga2(trials, GENES, seed)["kind"] for seed in range(120)]
    assert kinds.count("a") > 2 * kinds.count("c")


def test_a_network_is_a_point_of_such_a_search() -> None:
    """The spaces' own genes, each trial told two values."""
    space = SearchSpace.load("quick").families["gnn"]
    study = optuna.create_study(directions=["maximize", "minimize"])
    strategy = make_strategy("nsga-ii", "gnn", space, 0)
    for _ in range(25):
        study.enqueue_trial(strategy.propose(study), user_attrs={FAMILY: "gnn"})
        trial = study.ask(dict(space.genes))
        spec = space.to_spec(trial.params)
        assert isinstance(spec, ArchitectureSpec)
        study.tell(trial, (float(len(spec.layers)), float(spec.embedding_dim)))
    assert study.best_trials
