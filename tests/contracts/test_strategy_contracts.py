"""What every strategy promises. A new one needs three lines here."""

from __future__ import annotations

import math
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import ClosedFormSpec, FilterSpec, TwoHopSpec
from gnas_search.space import SearchSpace, Value
from gnas_search.space.points import random_point, values_of
from gnas_search.specs import FAMILIES
from gnas_search.strategies import STRATEGIES, make_strategy
from gnas_search.strategies.evolution import POPULATION
from gnas_search.strategies.grid import LEVELS, grid
from gnas_search.strategies.history import History
from gnas_search.strategies.tally import FAMILY, INTERRUPTED, family_of
from gnas_search.study.journal import open_journal
from gnas_serve.errors import ConfigError

SPACES = SearchSpace.load("standard").families
WORTH = {"lightgcn": 0.05, "gat": 0.035, "sage_mean": 0.03, "gcn": 0.02, "sage_max": 0.01, "skip": 0.0}
WORTH["low_pass"] = 0.03  # what a few layers that the space does have come to together


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def toy(spec: ArchitectureSpec | ClosedFormSpec) -> float:
    """A cheap stand-in for training, with interactions between genes and a known best region."""
    if isinstance(spec, FilterSpec):
        shape = {"heat": 0.01, "sharpened": 0.02, "ridge": 0.03}.get(spec.response, 0.0)
        strength = 0.0 if spec.response == "ideal" else (math.log10(spec.strength) - 0.7) ** 2
        return shape + 0.005 * math.log2(spec.rank) - 0.03 * strength - 0.1 * abs(spec.user_power - 0.25)
    if isinstance(spec, TwoHopSpec):
        return -((spec.source_power - 0.6) ** 2) - (spec.target_power - 0.3) ** 2 - 0.2 * (spec.user_power - 0.5) ** 2
    assert isinstance(spec, ArchitectureSpec)
    value = sum(WORTH[name] * 0.8**depth for depth, name in enumerate(spec.layers)) - 0.03 * max(
        0, len(spec.layers) - 2
    )
    value += {"last": 0.0, "concat": 0.01, "mean": 0.02}[spec.combination] if spec.layers else 0.0
    value += 0.01 * math.log2(spec.embedding_dim / 32) + 0.02 * (spec.init == "svd")
    value += 0.02 * (spec.loss != "bpr") - 0.03 * (math.log10(spec.learning_rate) + 2) ** 2
    return value + (0.02 - 0.03 * (math.log10(spec.temperature) + 1) ** 2 if spec.scorer == "cosine" else 0.0)


def search(name: str, family: str, study: optuna.Study, count: int, seed: int = 0) -> list[dict[str, Value]]:
    """Ask, evaluate the toy, tell; give the points drawn."""
    space = SPACES[family]
    strategy = make_strategy(name, family, space, seed)
    points = []
    for _ in range(count):
        study.enqueue_trial(strategy.propose(study), user_attrs={FAMILY: family})
        trial = study.ask(dict(space.genes))
        points.append(dict(trial.params))
        study.tell(trial, toy(space.to_spec(trial.params)))
    return points


def new_study() -> optuna.Study:
    return optuna.create_study(direction="maximize")


@pytest.mark.parametrize("family", FAMILIES)
class StrategyContract:
    """Subclass with ``name``."""

    name: ClassVar[str]
    length: ClassVar[int] = 18
    """Of a short search, with some draws that rest on what was learned."""

    def test_stays_inside_the_space(self, family: str) -> None:
        space = SPACES[family]
        for point in search(self.name, family, new_study(), self.length):
            assert set(point) == set(space.genes)
            assert all(gene._contains(gene.to_internal_repr(point[name])) for name, gene in space.genes.items())

    def test_same_seed_same_sequence(self, family: str) -> None:
        first, again, other = (search(self.name, family, new_study(), self.length, seed) for seed in (3, 3, 4))
        assert first == again
        assert first != other
        assert len({tuple(point.values()) for point in first}) > 0.7 * self.length

    def test_goes_on_from_storage_as_if_never_stopped(self, family: str, tmp_path: Path) -> None:
        whole = search(self.name, family, new_study(), self.length)
        parts = search(self.name, family, open_journal(tmp_path, create=True), self.length - 2)
        parts += search(self.name, family, open_journal(tmp_path, create=True), 2)
        assert parts == whole

    def test_other_families_trials_are_none_of_its_business(self, family: str) -> None:
        """Interleaved with the others in one study, each family draws what it would draw alone."""
        mixed = new_study()
        for _ in range(self.length):
            for other in FAMILIES:
                search(self.name, other, mixed, 1)
        among = [dict(trial.params) for trial in mixed.get_trials() if family_of(trial) == family]
        assert among == search(self.name, family, new_study(), self.length)

    @pytest.mark.parametrize("differs", ["all of it", "one is no more"])
    def test_trials_of_other_genes_are_passed_over(self, family: str, differs: str) -> None:
        """Those of a version whose space had others: one gene has another range, one is new, one is no more."""
        space, study = SPACES[family], new_study()
        first, second, *_ = (name for name, gene in space.genes.items() if not gene.single())
        others: dict[str, Any] = {**space.genes, "gone": IntDistribution(0, 9)}
        if differs == "all of it":
            others[first] = IntDistribution(100, 200)
            del others[second]
        rng = np.random.default_rng(0)
        for _ in range(30):
            point = random_point(rng, others)
            study.add_trial(create_trial(params=point, distributions=others, value=9.0, user_attrs={FAMILY: family}))
        base = search(self.name, family, new_study(), 1)[0]
        tuned = make_strategy(self.name, family, space, 0).propose(study, base=base, free=(first, second))
        for point in (tuned, *search(self.name, family, study, self.length)):
            assert set(point) == set(space.genes)
            assert all(gene._contains(gene.to_internal_repr(point[name])) for name, gene in space.genes.items())


class LearningContract(StrategyContract):
    """Subclass with ``name`` where points are chosen by what was learned."""

    seeds: ClassVar[int] = 8
    draws: ClassVar[int] = 40

    def test_what_is_drawn_late_is_better_than_chance(self, family: str) -> None:
        """The mean of the last third of the draws of some seeds, against that of random points."""
        space = SPACES[family]
        rng = np.random.default_rng(0)
        chance = [toy(space.to_spec(random_point(rng, space.genes))) for _ in range(400)]
        late = [
            toy(space.to_spec(point))
            for seed in range(self.seeds)
            for point in search(self.name, family, new_study(), self.draws, seed)[-(self.draws // 3) :]
        ]
        error = float(np.hypot(np.std(chance) / 20, np.std(late) / np.sqrt(len(late))))
        assert np.mean(late) > np.mean(chance) + 3 * error

    def test_failed_trials_do_no_harm(self, family: str) -> None:
        space = SPACES[family]
        study, strategy = new_study(), make_strategy(self.name, family, space, 0)
        for number in range(30):
            study.enqueue_trial(strategy.propose(study), user_attrs={FAMILY: family})
            trial = study.ask(dict(space.genes))
            if number % 3:
                study.tell(trial, toy(space.to_spec(trial.params)))
            else:
                study.tell(trial, state=TrialState.FAIL)
        assert set(strategy.propose(study)) == set(space.genes)

    def test_goes_on_with_another_strategys_trials(self, family: str) -> None:
        study = new_study()
        search("random", family, study, 30)
        points = search(self.name, family, study, 5)
        assert all(set(point) == set(SPACES[family].genes) for point in points)
        assert points == search(self.name, family, self._of(study, family, 30), 5)

    def _of(self, study: optuna.Study, family: str, count: int) -> optuna.Study:
        again = new_study()
        again.add_trials([t for t in study.get_trials() if family_of(t) == family][:count])
        return again


class JointContract(LearningContract):
    """Subclass with ``name`` and ``model``, which the module of that name makes of a history, where one is modelled."""

    model: ClassVar[str]

    def test_draws_all_genes_jointly(self, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Though the study holds the trials of every family; in the second phase, all that are free."""
        study, space = new_study(), SPACES[family]
        for other in FAMILIES:
            search(self.name, other, study, POPULATION + 2)
        together: list[tuple[int, int]] = []
        module = import_module(f"gnas_search.strategies.{self.name}")
        make = getattr(module, self.model)

        def spying(*given: Any) -> Any:
            (known,) = (one for one in given if isinstance(one, History))
            together.append((len(known.values), known.codes.chosen.shape[1] + known.codes.placed.shape[1]))
            return make(*given)

        monkeypatch.setattr(module, self.model, spying)
        strategy = make_strategy(self.name, family, space, 0)
        point = strategy.propose(study)
        names = sorted(name for name, gene in space.genes.items() if not gene.single())
        assert strategy.propose(study, base=point, free=names[1:])[names[0]] == point[names[0]]
        assert [count for _, count in together] == [len(names), len(names) - 1]
        assert together[0][0] == POPULATION + 2
        assert together[1][0] in (POPULATION + 1, POPULATION + 2)  # two that differ in the first gene alone are one


class TestCmaEs(LearningContract):
    name = "cma-es"


class TestDarts(LearningContract):
    """Without a list, which tests/unit/test_shortlist.py is about. TPE draws the closed forms."""

    name = "darts"
    length = 14
    seeds = 2
    draws = 24


class TestEvolution(LearningContract):
    name = "evolution"


class TestGenetic(LearningContract):
    name = "genetic"


class TestGp(JointContract):
    name = "gp"
    model = "Surrogate"


class TestGrid(StrategyContract):
    name = "grid"

    def test_early_points_have_every_value_of_every_gene(self, family: str) -> None:
        points = search(self.name, family, new_study(), 40)
        for name, gene in SPACES[family].genes.items():
            assert {point[name] for point in points} == set(values_of(gene, LEVELS))

    def test_a_small_space_is_tried_whole(self, family: str) -> None:
        genes = dict(list(SPACES[family].genes.items())[:2])
        size = math.prod(len(values_of(gene, LEVELS)) for gene in genes.values())
        trials: list[FrozenTrial] = []
        for _ in range(size):
            point = grid(trials, genes, 0)
            trials.append(optuna.trial.create_trial(params=point, distributions=genes, value=0.0))
        assert len({tuple(trial.params.values()) for trial in trials}) == size
        assert grid(trials, genes, 0) in [trial.params for trial in trials]


class TestNsga2(LearningContract):
    name = "nsga-ii"


class TestOneShot(TestDarts):
    name = "one-shot"


class TestParticleSwarm(LearningContract):
    name = "particle-swarm"


class TestRandom(StrategyContract):
    name = "random"


class TestReinforce(LearningContract):
    name = "reinforce"


class TestTpe(JointContract):
    """Held against Optuna's in tests/unit/test_parzen.py."""

    name = "tpe"
    model = "densities"


def test_every_strategy_has_a_contract() -> None:
    kinds = [StrategyContract]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert sorted(kind.name for kind in kinds if "name" in vars(kind)) == sorted(STRATEGIES)
    assert list(STRATEGIES) == sorted(STRATEGIES)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_genes_of_a_single_value_have_it(name: str) -> None:
    rng = np.random.default_rng(0)
    genes: dict[str, Any] = {
        "kind": CategoricalDistribution(("only",)),
        "rate": FloatDistribution(0.1, 1.0),
        "size": IntDistribution(3, 3),
    }
    points = [random_point(rng, genes) for _ in range(20)]
    finished = [create_trial(params=point, distributions=genes, value=float(rng.random())) for point in points]
    for count in (0, 5, 20):
        point = STRATEGIES[name](finished[:count], genes, 0)
        assert list(point) == list(genes)
        assert (point["kind"], point["size"]) == ("only", 3)
        assert 0.1 <= float(point["rate"]) <= 1.0


@cache
def best_network(name: str) -> float:
    """Search the networks 50 trials long, six times; give the mean of what was best."""
    found = []
    for seed in range(6):
        study = new_study()
        search(name, "gnn", study, 50, seed)
        found.append(study.best_value)
    return float(np.mean(found))


@pytest.mark.parametrize(
    "name", ["cma-es", "evolution", "genetic", "gp", "nsga-ii", "particle-swarm", "reinforce", "tpe"]
)
def test_what_learns_beats_random_search_on_a_toy(name: str) -> None:
    assert best_network(name) > best_network("random") + 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_evolution_changes_one_gene_of_a_recent_trial(family: str) -> None:
    points = search("evolution", family, new_study(), POPULATION + 15)
    for number in range(POPULATION, len(points)):
        population = points[number - POPULATION : number]
        genes = SPACES[family].genes
        assert min(sum(parent[name] != points[number][name] for name in genes) for parent in population) <= 1


def test_what_was_stopped_from_outside_is_not_counted_until_it_is_tried_again() -> None:
    study = new_study()
    search("random", "filter", study, 3)
    strategy = make_strategy("random", "filter", SPACES["filter"], 0)
    before = strategy.propose(study)
    assert strategy.drawn(study) == 3
    study.enqueue_trial(before, user_attrs={FAMILY: "filter"})
    stopped = study.ask(dict(SPACES["filter"].genes))
    study.tell(stopped, state=optuna.trial.TrialState.FAIL)
    assert strategy.drawn(study) == 4
    study.set_user_attr(INTERRUPTED, [stopped.number])
    assert strategy.drawn(study) == 3
    assert strategy.propose(study) == before
    assert make_strategy("random", "two-hop", SPACES["two-hop"], 0).drawn(study) == 0


def test_unknown_strategy_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'evolution'") as caught:
        make_strategy("evolutoin", "gnn", SPACES["gnn"], 0)
    assert caught.value.exit_code == 2
