"""The Gaussian process against textbook formulas, and what its strategy makes of histories of every kind of gene."""

from __future__ import annotations

import math
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import gamma, kv
from scipy.stats import multivariate_normal, norm

from gnas_search.loops import compiled
from gnas_search.space import SearchSpace
from gnas_search.space.points import random_point
from gnas_search.strategies import gaussian_process, make_strategy
from gnas_search.strategies.codes import Axes, Codes
from gnas_search.strategies.coordinates import Coordinates, mutants, random_codes, squares_between
from gnas_search.strategies.gaussian_process import Kernel, Posterior, fit, log_expected_improvement
from gnas_search.strategies.gp import MOST, STARTUP_TRIALS, Surrogate, gp, kept, largest, standardised
from gnas_search.strategies.history import History
from gnas_search.strategies.tally import FAMILY

Floats = npt.NDArray[np.float64]

KINDS: dict[str, Any] = {
    "choice": CategoricalDistribution(("a", "b", "c")),
    "depth": IntDistribution(0, 3),
    "flag": CategoricalDistribution((False, True)),
    "power": FloatDistribution(-1.0, 2.0),
    "rate": FloatDistribution(1e-3, 0.5, log=True),
    "size": IntDistribution(1, 300, log=True),
    "width": CategoricalDistribution((64, 16, 32)),
}


def trials(genes: dict[str, Any], count: int, seed: int) -> list[FrozenTrial]:
    rng = np.random.default_rng(seed)
    return [trial(genes, random_point(rng, genes), float(rng.normal())) for _ in range(count)]


def trial(genes: dict[str, Any], point: dict[str, Any], value: float) -> FrozenTrial:
    return create_trial(params=dict(point), distributions=genes, value=value)


def matern(squares: Floats, scale: float) -> Floats:
    """Matérn's covariance of any smoothness, at 5/2."""
    far = np.sqrt(5.0 * squares)
    found: Floats = scale * 2.0**-1.5 / gamma(2.5) * far**2.5 * kv(2.5, np.where(far > 0, far, 1.0))
    return np.where(far > 0, found, scale)


def a_function(count: int, genes: int, seed: int) -> tuple[Floats, Floats]:
    """Give squared distances in each gene, and values that change with the first gene alone, with some noise."""
    rng = np.random.default_rng(seed)
    at = rng.random((count, genes))
    values = np.sin(6.0 * at[:, 0]) + rng.normal(0.0, 0.1, size=count)
    return ((at[:, None] - at) ** 2).transpose(2, 0, 1).copy(), (values - values.mean()) / values.std()


def test_the_covariance_is_materns() -> None:
    squares = np.array([[0.0, 1e-4, 0.3], [1.0, 5.0, 40.0]])
    kernel = Kernel(np.ones(1), scale=1.7, noise=0.1)
    assert kernel.of(squares) == pytest.approx(matern(squares, 1.7), rel=1e-9)


def test_the_posterior_is_that_of_a_joint_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    kernel = Kernel(np.array([8.0, 0.5]), scale=1.3, noise=0.05)
    at, values = rng.random((20, 2)) * np.sqrt(kernel.relevance), rng.standard_normal(20)
    covariance = matern(((at[:, None] - at) ** 2).sum(axis=2), kernel.scale)
    known, new = slice(0, 14), slice(14, 20)
    noisy = covariance[known, known] + kernel.noise * np.eye(14)
    shared = covariance[new, known] @ np.linalg.inv(noisy)
    posterior = Posterior(kernel, at[known], values[known])
    mean, deviation = posterior.at(at[new])
    assert mean == pytest.approx(shared @ values[known], rel=1e-6)
    left = covariance[new, new] - shared @ covariance[known, new]
    assert deviation == pytest.approx(np.sqrt(np.diag(left)), rel=1e-6)
    alone = [np.ravel(posterior.at(at[place : place + 1])) for place in range(14, 20)]
    assert pytest.approx(np.array([mean, deviation]), rel=1e-12) == np.array(alone).T


def test_the_fitted_kernel_is_likelier_than_those_around_it() -> None:
    """By the density of the values under it, of SciPy, and what kernels are like."""
    squares, values = a_function(40, 3, 1)

    def worth(logs: Floats) -> float:
        *relevance, scale, noise = np.exp(logs)
        covariance = matern(np.tensordot(relevance, squares, 1), scale) + (noise + 1e-4) * np.eye(len(values))
        prior = sum(-0.1 * (one + 1.0 / one) for one in relevance)
        prior += gamma_log_density(scale, 2.0, 1.0) + gamma_log_density(noise, 1.1, 30.0)
        return float(multivariate_normal(cov=covariance).logpdf(values)) + prior

    kernel = fit(squares, values)
    best = np.log([*kernel.relevance, kernel.scale, kernel.noise - 1e-4])
    assert np.abs(approx_fprime(best, worth, 1e-6)).max() < 0.05
    assert kernel.relevance[0] > 5 * kernel.relevance[1:].max()
    assert 0.001 < kernel.noise < 0.1


def gamma_log_density(x: float, shape: float, rate: float) -> float:
    return (shape - 1.0) * math.log(x) - rate * x


@pytest.mark.parametrize("gain", [-30.0, -3.0, -1.0, -0.999, 0.0, 0.4, 7.0])
@pytest.mark.parametrize("deviation", [0.02, 1.0])
def test_expected_improvement_is_the_integral(gain: float, deviation: float) -> None:
    z = gain / deviation
    if z > 30:  # as good as sure
        assert log_expected_improvement(np.array([gain]), np.array([deviation]))[0] == pytest.approx(math.log(gain))
        return
    if z < -30:  # of the tail's expansion, as the integral is 0
        expected = norm.logpdf(z) - 2 * math.log(-z) + math.log(deviation)
        assert log_expected_improvement(np.array([gain]), np.array([deviation]))[0] == pytest.approx(expected, rel=1e-4)
        return
    whole, _ = quad(lambda x: (x + z) * math.exp(norm.logpdf(x) - norm.logpdf(max(0.0, -z))), -z, -z + 40, epsabs=0)
    expected = math.log(whole) + norm.logpdf(max(0.0, -z)) + math.log(deviation)
    found = log_expected_improvement(np.array([gain]), np.array([deviation]))[0]
    assert found == pytest.approx(expected, abs=1e-6)


def test_expected_improvement_rises_with_the_mean_all_the_way() -> None:
    gains = np.concatenate([-np.logspace(8, -3, 3000), np.logspace(-3, 3, 1000)])
    found = log_expected_improvement(gains, np.ones(len(gains)))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


genes_of_some_kinds = st.sets(st.sampled_from(sorted(KINDS)), min_size=1).map(
    lambda names: {name: KINDS[name] for name in sorted(names)}
)


@settings(max_examples=40, deadline=None)
@given(genes_of_some_kinds, st.integers(0, 10_000))
def test_coordinates_are_as_far_apart_as_values_differ(genes: dict[str, Any], seed: int) -> None:
    axes = Axes(genes)
    points = [one.params for one in trials(genes, 6, seed)]
    coordinates = Coordinates(genes, axes)
    at = coordinates.of(axes.encode([trial(genes, point, 0.0) for point in points]))
    squares = coordinates.squares(at)
    order = [*(n for n in genes if n in ("choice", "flag", "width")), *(n for n in genes if n in SCALES)]
    assert squares.shape == (len(genes), 6, 6)
    for place, name in enumerate(order):
        values = [point[name] for point in points]
        expected = [[_apart(name, one, other) ** 2 for other in values] for one in values]
        assert squares[place] == pytest.approx(np.array(expected), abs=1e-12)
    assert squares_between(at, at) == pytest.approx(squares.sum(axis=0), abs=1e-12)


SCALES: dict[str, tuple[Any, float, float]] = {  # whole numbers reach half a step beyond their ends
    "depth": (float, -0.5, 3.5),
    "power": (float, -1.0, 2.0),
    "rate": (math.log, 1e-3, 0.5),
    "size": (math.log, 0.5, 300.5),
}


def _apart(name: str, one: Any, other: Any) -> float:
    if name in SCALES:
        scale, low, high = SCALES[name]
        return abs(scale(one) - scale(other)) / (scale(high) - scale(low))
    if name == "width":
        return abs([16, 32, 64].index(one) - [16, 32, 64].index(other)) / 2
    return float(one != other)


@settings(max_examples=40, deadline=None)
@given(genes_of_some_kinds, st.integers(0, 10_000))
def test_candidates_are_points_of_the_space_and_mutants_near_their_parents(genes: dict[str, Any], seed: int) -> None:
    axes, rng = Axes(genes), np.random.default_rng(seed)
    parents = random_codes(rng, axes, 40)
    mutated = mutants(rng, axes, parents)
    changes = []
    for row in range(40):
        before, after = axes.decode(parents, row), axes.decode(mutated, row)
        assert all(gene._contains(gene.to_internal_repr(after[name])) for name, gene in genes.items())
        changes.append(sum(before[name] != after[name] for name in genes))
    assert (mutated.placed >= axes.low).all()
    assert (mutated.placed <= axes.high).all()
    assert 0.3 <= np.mean(changes) <= 2.5  # a whole number may come to where it was


def test_every_choice_can_be_drawn_and_mutated_to() -> None:
    axes, rng = Axes(KINDS), np.random.default_rng(0)
    for codes in (
        random_codes(rng, axes, 2000),
        mutants(rng, axes, random_codes(rng, axes, 1).of(np.zeros(2000, int))),
    ):
        for place, choices in enumerate(axes.choices):
            assert set(codes.chosen[:, place]) == set(range(choices))
        unit = (codes.placed - axes.low) / (axes.high - axes.low)
        assert (unit.min(axis=0) < 0.2).all()
        assert (unit.max(axis=0) > 0.8).all()


def test_numbers_change_a_little_or_to_any() -> None:
    axes = Axes({"power": KINDS["power"]})
    middle = Codes(np.zeros((4000, 0), dtype=np.intp), np.full((4000, 1), 0.5))
    far = np.abs(mutants(np.random.default_rng(0), axes, middle).placed - 0.5) / 3.0
    near = math.erf(0.1 / 0.2 / math.sqrt(2.0))  # of a normal distribution as wide as a fifth of the range
    assert (far < 0.1).mean() == pytest.approx((near + 0.2) / 2, abs=0.03)


def test_a_number_that_no_mutation_touched_is_the_very_same() -> None:
    """Another by its last digit would be another model, trained again for nothing."""
    genes = {name: KINDS[name] for name in ("choice", "rate", "size")}
    rates = np.random.default_rng(0).uniform(0.001, 0.5, size=300).tolist()
    axes = Axes(genes)
    read = axes.encode([trial(genes, {"choice": "a", "rate": rate, "size": 77}, 0.0) for rate in rates])
    assert [axes.decode(read, row)["rate"] for row in range(300)] == rates
    mutated = mutants(np.random.default_rng(1), axes, read)
    found = [axes.decode(mutated, row) for row in range(300)]
    same = sum(point["rate"] == rate for point, rate in zip(found, rates, strict=True))
    assert 100 < same < 200
    assert {type(point["size"]) for point in found} == {int}


def worth(point: dict[str, Any]) -> float:
    far = abs(math.log(point["rate"] / 0.02)) + abs(point["depth"] - 2) + (point["choice"] != "b")
    return -far


@pytest.mark.parametrize("disaster", [-10.0, -1e12])
def test_it_comes_to_the_best_place(disaster: float) -> None:
    """Also where some models are worse than all others by orders of magnitude: what is left still differs."""
    genes = {name: KINDS[name] for name in ("rate", "depth", "choice")}
    finished: list[FrozenTrial] = []
    for seed in range(50):
        point = gp(finished, genes, seed)
        finished.append(trial(genes, point, disaster if point["choice"] == "a" else worth(point)))
    late = finished[30:]
    assert max(one.value or 0.0 for one in late) > -0.3
    assert sum(one.params["choice"] == "a" for one in late) <= 4


@pytest.mark.parametrize("disaster", [-1e12, -1e300])
def test_a_disaster_hides_no_differences(disaster: float) -> None:
    """Also where most values are the best: a gathered strategy repeats it under other idle genes."""
    for good in ([0.1, 0.09, 0.05, 0.02], [0.1] * 5 + [0.09, 0.08]):
        found = standardised(np.array([*good, disaster]))
        assert found.std() == pytest.approx(1.0)
        assert found.mean() == pytest.approx(0.0, abs=1e-9)
        assert found[-2] - found[-1] > 0.1
        assert found[0] - found[-2] > 0.3
    assert standardised(np.array([1.0, 2.0, 3.0])) == pytest.approx(np.array([-1.5, 0.0, 1.5]) / math.sqrt(1.5))


def test_of_many_trials_the_best_and_the_latest_others_are_kept() -> None:
    values = np.concatenate([np.arange(MOST, 0.0, -1.0), np.zeros(3 * MOST)])
    best, latest = range(MOST // 2), range(4 * MOST - MOST // 2, 4 * MOST)
    assert kept(values).tolist() == [*best, *latest]
    assert kept(values[:MOST]).tolist() == list(range(MOST))


def test_of_many_trials_the_best_tells() -> None:
    genes = {name: KINDS[name] for name in ("rate", "depth", "choice")}
    rng = np.random.default_rng(0)
    points = [random_point(rng, genes) for _ in range(2 * MOST)]
    best = {"rate": 0.02, "depth": 2, "choice": "b"}
    finished = [trial(genes, best, 0.0), *(trial(genes, point, worth(point)) for point in points)]
    found = [gp(finished, genes, seed) for seed in range(10)]
    assert sum(point["choice"] == "b" and point["depth"] == 2 for point in found) >= 8
    assert np.median([abs(math.log(float(point["rate"]) / 0.02)) for point in found]) < 0.5


def test_a_point_is_proposed_again_only_where_none_is_new() -> None:
    genes = {"choice": KINDS["choice"], "depth": KINDS["depth"], "size": IntDistribution(1, 2, log=True)}
    every = [
        {"choice": choice, "depth": depth, "size": size} for choice in "abc" for depth in range(4) for size in (1, 2)
    ]
    best = trial(genes, every[0], 1.0)  # and all others are as bad as each other: a neighbour of it is expected best
    for left in every[1:]:
        finished = [best, *(trial(genes, point, 0.0) for point in every[1:] if point != left)]
        assert gp(finished, genes, 0) == left
    assert gp([best, *(trial(genes, point, 0.0) for point in every[1:])], genes, 0) in every


def test_the_best_candidate_is_climbed_from() -> None:
    """A round does not always come higher: over twenty draws nearly all do."""
    genes = {name: FloatDistribution(0.0, 1.0) for name in "abcdefgh"}
    known, climbs = History.of(trials(genes, 20, 0), genes), []
    asked: list[Floats] = []

    def near_the_middle(codes: Codes) -> Floats:
        asked.append(-np.abs(codes.placed - 0.5).sum(axis=1))
        return asked[-1]

    for seed in range(20):
        asked.clear()
        found = largest(np.random.default_rng(seed), known, near_the_middle)
        (gain,) = -np.abs(found.placed - 0.5).sum(axis=1)
        rounds = [one.max() for one in asked]
        assert gain == max(rounds)
        climbs += [later > earlier for earlier, later in pairwise(rounds)]
    assert len(climbs) >= 40
    assert np.mean(climbs) > 0.8


def test_a_gain_is_over_the_best_value(monkeypatch: pytest.MonkeyPatch) -> None:
    genes = {"power": KINDS["power"]}
    points = np.linspace(-1.0, 2.0, 30)
    finished = [trial(genes, {"power": float(at)}, float(np.cos(2.0 * at))) for at in points]
    told: list[Floats] = []

    def spying(gain: Floats, deviation: Floats) -> Floats:
        told.append(gain)
        return log_expected_improvement(gain, deviation)

    monkeypatch.setattr(import_module("gnas_search.strategies.gp"), "log_expected_improvement", spying)
    known = History.of(finished, genes)
    Surrogate(known).log_gain(known.codes)
    assert told[0].argmax() == known.values.argmax()
    assert told[0].max() == pytest.approx(0.0, abs=0.05)
    assert told[0].min() == pytest.approx((known.values.min() - known.values.max()) / known.values.std(), abs=0.1)


def test_values_that_are_all_alike_are_no_trouble() -> None:
    genes = {"flag": KINDS["flag"], "power": KINDS["power"]}
    finished = [trial(genes, one.params, 0.25) for one in trials(genes, 30, 0)]
    assert set(gp(finished, genes, 0)) == set(genes)
    same = [trial(genes, finished[0].params, float(value)) for value in range(30)]
    assert set(gp(same, genes, 0)) == set(genes)


def test_an_earlier_fit_is_gone_on_with_until_three_tenths_more_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial tells at once all the same."""
    genes, fits = {"power": KINDS["power"], "rate": KINDS["rate"]}, []

    def spying(squares: Floats, values: Floats) -> Kernel:
        fits.append(len(values))
        return fit(squares, values)

    monkeypatch.setattr(import_module("gnas_search.strategies.gp"), "fit", spying)
    finished = trials(genes, 40, 3)
    for count in range(STARTUP_TRIALS, 41):
        gp(finished[:count], genes, 0)
    assert fits == [8, 10, 13, 16, 20, 26, 33]
    known = History.of(finished, genes)
    one = known.codes.of(np.array([39]))
    after = Surrogate(known).log_gain(one)
    before = Surrogate(History.of(finished[:39], genes)).log_gain(one)
    assert after < before - 0.5  # what has been measured has less to gain
    fits.clear()
    late = [*finished[:33], finished[39], *finished[33:39]]
    gp(late, genes, 0)  # as with several slots, after what was asked before
    assert fits == []


def anew(finished: list[FrozenTrial], genes: dict[str, Any]) -> dict[str, Any]:
    """Propose as a process does that was asked for nothing before."""
    for name in ("history", "gp"):
        import_module(f"gnas_search.strategies.{name}")._LATEST.clear()
    return gp(finished, genes, 0)


def test_what_was_fitted_before_changes_no_proposal() -> None:
    """Neither to fewer trials, nor to those of another search with these genes, nor to genes with other ranges."""
    genes = {name: KINDS[name] for name in ("choice", "power", "rate")}
    one, other = trials(genes, 13, 1), trials(genes, 13, 2)
    wider = {**genes, "power": FloatDistribution(-1.0, 9.0)}
    expected = [anew(one, genes), anew(other, genes), anew(one, wider)]
    assert len({repr(point) for point in expected}) == 3
    anew(one[:12], genes)
    assert gp(one, genes, 0) == expected[0]
    assert gp(other, genes, 0) == expected[1]
    assert gp(one, genes, 0) == expected[0]
    assert gp(one, wider, 0) == expected[2]


def test_the_order_of_the_genes_is_no_matter() -> None:
    finished = trials(KINDS, 20, 4)
    turned = dict(reversed(KINDS.items()))
    assert gp(finished, KINDS, 0) == gp(finished, turned, 0)
    assert list(gp(finished, turned, 0)) == list(turned)


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_less_can_be_better(directions: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With one objective it is fitted no more often for it; several are weighed anew for each draw."""
    fits = []
    monkeypatch.setattr(import_module("gnas_search.strategies.gp"), "fit", lambda *of: (fits.append(1), fit(*of))[1])
    space = SearchSpace.load("quick").families["two-hop"]
    strategy, study = make_strategy("gp", "two-hop", space, 0), optuna.create_study(directions=directions)
    for number in range(20):
        study.enqueue_trial(strategy.propose(study), user_attrs={FAMILY: "two-hop"})
        asked = study.ask(dict(space.genes))
        study.tell(asked, [float(number % 7)] * len(directions))
    assert len(fits) == (4 if len(directions) == 1 else 12)


def test_no_draw_waits_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh: Any = compiled(gaussian_process._look.py_func)  # type: ignore[attr-defined]
    monkeypatch.setattr(gaussian_process, "_look", fresh)
    gaussian_process.compile_look.cache_clear()
    make_strategy("gp", "gnn", SearchSpace.load("quick").families["gnn"], 0)
    before = list(fresh.signatures)
    assert before
    gp(trials(KINDS, STARTUP_TRIALS + 2, seed=0), KINDS, 0)
    assert list(fresh.signatures) == before
