"""TPE and its densities, held against Optuna's own on histories of every kind of gene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from gnas_search.space.points import random_point
from gnas_search.strategies.codes import Axes
from gnas_search.strategies.history import History
from gnas_search.strategies.parzen import ParzenEstimator
from gnas_search.strategies.proposer import distinct
from gnas_search.strategies.tpe import STARTUP_TRIALS, densities, tpe

KINDS: dict[str, Any] = {
    "choice": CategoricalDistribution(("a", "b", "c")),
    "depth": IntDistribution(0, 3),
    "flag": CategoricalDistribution((False, True)),
    "one": CategoricalDistribution(("only",)),
    "power": FloatDistribution(-1.0, 2.0),
    "rate": FloatDistribution(1e-3, 0.5, log=True),
    "size": IntDistribution(1, 300, log=True),
    "width": CategoricalDistribution((64, 16, 32)),
}


def history(genes: dict[str, Any], count: int, seed: int, *, failed: float = 0.1) -> list[FrozenTrial]:
    """Draw trials around two points and at the ends; some fail, some repeat others, some are worth the same."""
    rng = np.random.default_rng(seed)
    centres = [random_point(rng, genes) for _ in range(2)]
    trials = []
    for _ in range(count):
        point = random_point(rng, genes)
        near = centres[int(rng.integers(2))]
        point = {name: near[name] if rng.random() < 0.4 else value for name, value in point.items()}
        for name, gene in genes.items():
            if not isinstance(gene, CategoricalDistribution) and rng.random() < 0.2:
                point[name] = gene.low if rng.random() < 0.5 else gene.high
        lost = rng.random() < failed
        state = TrialState.FAIL if lost else TrialState.COMPLETE
        values = None if lost else [float(rng.integers(20)) / 10]
        trials.append(create_trial(params=dict(point), distributions=genes, values=values, state=state))
    return trials


def of_optuna(finished: list[FrozenTrial], genes: dict[str, Any], seed: int) -> dict[str, Any]:
    """Draw as Optuna's sampler does from these trials, repetitions left out."""
    sampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(distinct(finished))
    return study.ask(genes).params


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether two points are one; numbers to within what rounding does."""
    return list(ours) == list(theirs) and all(
        math.isclose(ours[name], value, rel_tol=1e-6, abs_tol=1e-9)
        if isinstance(value, float)
        else ours[name] == value and type(ours[name]) is type(value)
        for name, value in theirs.items()
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(KINDS)), min_size=1),
    st.integers(0, 60) | st.integers(180, 222),
    st.integers(0, 10_000),
)
def test_it_proposes_what_the_sampler_of_optuna_does(names: set[str], count: int, seed: int) -> None:
    genes = {name: KINDS[name] for name in sorted(names, reverse=True)}
    finished = history(genes, count, seed)
    ours, theirs = tpe(finished, genes, seed), of_optuna(finished, genes, seed)
    if not same(ours, theirs):  # of two points whose ratios are equal, rounding chooses
        known = History.of(finished, {name: genes[name] for name in sorted(genes) if name != "one"})
        good, others = densities(known)
        both = known.axes.encode([create_trial(params=p, distributions=genes, value=0.0) for p in (ours, theirs)])
        ratios = good.log_pdf(both) - others.log_pdf(both)
        assert ratios[0] == pytest.approx(ratios[1], abs=1e-9)


def test_of_points_that_are_not_good_the_latest_count() -> None:
    """Optuna models all of them, in ever more time; the older they are the less they weigh."""
    genes = {name: KINDS[name] for name in ("choice", "depth", "rate")}
    rng = np.random.default_rng(0)
    worths = rng.permutation(600).astype(float)
    poor = [place for place, worth in enumerate(worths) if worth < 575.0]

    def proposed(changed: Sequence[int]) -> dict[str, Any]:
        draws = np.random.default_rng(1)
        points = [random_point(draws, genes) for _ in worths]
        for place in changed:
            points[place] = random_point(draws, genes)
        trials = [
            create_trial(params=point, distributions=genes, value=worth)
            for point, worth in zip(points, worths, strict=True)
        ]
        return tpe(trials, genes, 3)

    assert proposed(poor[:-200]) == proposed([])
    assert proposed(poor[-200:]) != proposed([])


@pytest.mark.parametrize("kind", [FloatDistribution(0.0, 1.0, step=0.25), IntDistribution(0, 8, step=2)])
def test_numbers_in_other_steps_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="steps of 1"):
        Axes({"share": kind})


def test_it_comes_to_the_best_place() -> None:
    genes = {"rate": KINDS["rate"], "depth": KINDS["depth"], "choice": KINDS["choice"]}

    def worth(point: dict[str, Any]) -> float:
        far = abs(math.log(point["rate"] / 0.02)) + abs(point["depth"] - 2) + (point["choice"] != "b")
        return -far

    finished: list[FrozenTrial] = []
    for seed in range(80):
        point = tpe(finished, genes, seed)
        finished.append(create_trial(params=point, distributions=genes, values=[worth(point)]))
    late = [trial.value or 0.0 for trial in finished[40:]]
    early = [trial.value or 0.0 for trial in finished[:STARTUP_TRIALS]]
    assert np.median(late) > np.median(early) + 1.0
    assert max(late) > -0.2


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_a_density_over_discrete_points_sums_to_one(count: int) -> None:
    genes = {name: KINDS[name] for name in ("choice", "depth", "flag")}
    axes = Axes(genes)
    density = ParzenEstimator(axes, axes.encode(history(genes, count, 1, failed=0.0)))
    every = itertools.product(("a", "b", "c"), range(4), (False, True))
    points = [create_trial(params=dict(zip(genes, p, strict=True)), distributions=genes, value=0.0) for p in every]
    assert np.exp(density.log_pdf(axes.encode(points))).sum() == pytest.approx(1.0, abs=1e-12)


def test_what_is_drawn_lies_as_the_density_says() -> None:
    genes = {"power": KINDS["power"], "depth": KINDS["depth"], "choice": KINDS["choice"]}
    axes = Axes(genes)
    density = ParzenEstimator(axes, axes.encode(history(genes, 12, 2, failed=0.0)))
    drawn = density.sample(np.random.RandomState(0), 20_000)
    points = [axes.decode(drawn, row) for row in range(len(drawn.chosen))]
    assert all(genes[name]._contains(genes[name].to_internal_repr(point[name])) for point in points for name in genes)
    edges = np.linspace(-1.0, 2.0, 121)
    grid = [
        create_trial(params={"power": at, "depth": depth, "choice": choice}, distributions=genes, value=0.0)
        for at in (edges[1:] + edges[:-1]) / 2
        for depth in range(4)
        for choice in ("a", "b", "c")
    ]
    said = np.exp(density.log_pdf(axes.encode(grid))).reshape(120, 4, 3) * (edges[1] - edges[0])
    assert said.sum() == pytest.approx(1.0, abs=0.01)
    said = said.reshape(30, 4, 4, 3).sum(axis=1)
    counted = np.zeros((30, 4, 3))
    for point in points:
        place = min(int((point["power"] + 1.0) * 10), 29)
        counted[place, point["depth"], "abc".index(point["choice"])] += 1 / len(points)
    for axis in ((1, 2), (0, 2), (0, 1)):
        assert np.abs(counted.sum(axis=axis) - said.sum(axis=axis)).sum() < 0.06


def test_the_density_is_the_one_of_optuna() -> None:
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
    from optuna.samplers._tpe.sampler import default_weights

    genes = {name: gene for name, gene in KINDS.items() if not gene.single()}
    axes = Axes(genes)
    seen, asked = history(genes, 40, 7, failed=0.0), history(genes, 30, 8, failed=0.0)

    def rows(trials: list[FrozenTrial]) -> dict[str, Any]:
        return {
            name: np.array([gene.to_internal_repr(trial.params[name]) for trial in trials])
            for name, gene in genes.items()
        }

    theirs = _ParzenEstimator(
        rows(seen),
        genes,
        _ParzenEstimatorParameters(
            prior_weight=1.0,
            consider_magic_clip=True,
            consider_endpoints=False,
            weights=default_weights,
            multivariate=True,
        ),
    )
    ours = ParzenEstimator(axes, axes.encode(seen))
    np.testing.assert_allclose(ours.log_pdf(axes.encode(asked)), theirs.log_pdf(rows(asked)), rtol=1e-9, atol=1e-9)
