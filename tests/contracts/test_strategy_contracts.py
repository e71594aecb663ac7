"""What every strategy promises. A new one needs three lines here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import optuna
import pytest

from gnas_search.architecture import ArchitectureSpec
from gnas_search.space import SearchSpace, Value
from gnas_search.strategies import STRATEGIES, make_strategy
from gnas_search.strategies.evolution import POPULATION
from gnas_search.study.journal import open_journal
from gnas_serve.errors import ConfigError

SPACE = SearchSpace.load("standard")
WORTH = {"lightgcn": 0.05, "gat": 0.035, "sage_mean": 0.03, "gcn": 0.02, "sage_max": 0.01, "skip": 0.0}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def toy(spec: ArchitectureSpec) -> float:
    """A cheap stand-in for training, with interactions between genes and a known best region."""
    value = sum(WORTH[name] * 0.8**depth for depth, name in enumerate(spec.layers)) - 0.03 * max(
        0, len(spec.layers) - 2
    )
    value += {"last": 0.0, "concat": 0.01, "mean": 0.02}[spec.combination] if spec.layers else 0.0
    value += 0.01 * math.log2(spec.embedding_dim / 32) + 0.02 * (spec.init == "svd")
    value += 0.02 * (spec.loss == "sampled_softmax") - 0.03 * (math.log10(spec.learning_rate) + 2) ** 2
    return value + (0.02 - 0.03 * (math.log10(spec.temperature) + 1) ** 2 if spec.scorer == "cosine" else 0.0)


def search(name: str, study: optuna.Study, count: int, seed: int = 0) -> list[dict[str, Value]]:
    """Ask, evaluate the toy, tell; give the points drawn."""
    strategy = make_strategy(name, SPACE, seed)
    points = []
    for _ in range(count):
        trial = strategy.ask(study)
        points.append(dict(trial.params))
        study.tell(trial, toy(SPACE.to_spec(trial.params)))
    return points


def new_study() -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(SPACE.encode(SPACE.starts[0]))
    return study


class StrategyContract:
    """Subclass with ``name``."""

    name: ClassVar[str]

    def test_stays_inside_the_space_and_starts_at_its_start(self) -> None:
        points = search(self.name, new_study(), 30)
        assert SPACE.to_spec(points[0]) == SPACE.starts[0].canonical()
        for point in points:
            assert set(point) == set(SPACE.genes)
            assert all(gene._contains(gene.to_internal_repr(point[name])) for name, gene in SPACE.genes.items())

    def test_same_seed_same_sequence(self) -> None:
        first, again, other = (search(self.name, new_study(), 25, seed) for seed in (3, 3, 4))
        assert first == again
        assert first[1:] != other[1:]

    def test_goes_on_from_storage_as_if_never_stopped(self, tmp_path: Path) -> None:
        whole = search(self.name, new_study(), 24)
        journal = open_journal(tmp_path, create=True)
        journal.enqueue_trial(SPACE.encode(SPACE.starts[0]))
        parts = search(self.name, journal, 15)
        parts += search(self.name, open_journal(tmp_path, create=True), 9)
        assert parts == whole


class ModelBasedContract(StrategyContract):
    """Subclass with ``name`` where trials are drawn from what was learned."""

    def test_samples_all_genes_jointly(self) -> None:
        study = new_study()
        search(self.name, study, POPULATION + 2)
        make_strategy(self.name, SPACE, 0).ask(study)
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))[0]
        assert set(study.sampler.infer_relative_search_space(study, running)) == set(SPACE.genes)

    def test_beats_random_search_on_a_toy(self) -> None:
        best = {name: [] for name in ("random", self.name)}
        for name, found in best.items():
            for seed in range(8):
                study = optuna.create_study(direction="maximize")
                search(name, study, 50, seed)
                found.append(study.best_value)
        assert np.mean(best[self.name]) > np.mean(best["random"]) + 0.01


class TestEvolution(ModelBasedContract):
    name = "evolution"


class TestRandom(StrategyContract):
    name = "random"


class TestTpe(ModelBasedContract):
    name = "tpe"


def test_every_strategy_has_a_contract() -> None:
    contracts = [*StrategyContract.__subclasses__(), *ModelBasedContract.__subclasses__()]
    assert sorted(kind.name for kind in contracts if kind is not ModelBasedContract) == sorted(STRATEGIES)
    assert list(STRATEGIES) == sorted(STRATEGIES)


def test_evolution_changes_one_gene_of_a_recent_trial() -> None:
    study = new_study()
    points = search("evolution", study, POPULATION + 15)
    for number in range(POPULATION, len(points)):
        population = points[number - POPULATION : number]
        assert min(sum(parent[name] != points[number][name] for name in SPACE.genes) for parent in population) <= 1


def test_unknown_strategy_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'evolution'") as caught:
        make_strategy("evolutoin", SPACE, 0)
    assert caught.value.exit_code == 2
