"""A shortlist is proposed best first, whatever interrupts it; then the best that was tried is mutated."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from optuna.trial import create_trial

from gnas_search.space import SearchSpace
from gnas_search.strategies import SHARING_STRATEGIES, STRATEGIES, make_strategy
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.strategies.tally import FAMILY, REJECTED
from gnas_search.study.own_journal import add_ended
from gnas_search.supernet import AFFORDABLE, SUPERNETS

SPACES = SearchSpace.load("quick").families
GENES = SPACES["gnn"].genes
START = SPACES["gnn"].encode(SPACES["gnn"].starts[0])
POINTS = [{**START, "layer.0": operator} for operator in ("gcn", "sage_mean", "skip")]
FOUND = Shortlist(tuple(Listed(point, 0.3 - 0.1 * place) for place, point in enumerate(POINTS)), "", 3, 9, 1.5)


def begun(name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    FOUND.write(study, name)
    return study


def ask(study: optuna.Study, name: str, seed: int = 0) -> optuna.trial.Trial:
    study.enqueue_trial(make_strategy(name, "gnn", SPACES["gnn"], seed).propose(study), user_attrs={FAMILY: "gnn"})
    return study.ask(dict(GENES))


def test_there_is_a_supernet_for_each_strategy_that_waits_for_one() -> None:
    assert list(SUPERNETS) == list(AFFORDABLE) == list(SHARING_STRATEGIES)
    assert set(SHARING_STRATEGIES) < set(STRATEGIES)


@pytest.mark.parametrize("name", SHARING_STRATEGIES)
def test_the_list_comes_first_and_then_mutations_of_the_best(name: str) -> None:
    study = begun(name)
    for number, point in enumerate(POINTS):
        trial = ask(study, name)
        assert trial.params == point
        study.tell(trial, 0.9 if number == 1 else 0.1)
    changed = []
    for seed in range(20):
        point = make_strategy(name, "gnn", SPACES["gnn"], seed).propose(study)
        (gene,) = [gene for gene in GENES if point[gene] != POINTS[1][gene]]
        changed.append(gene)
    assert {"learning_rate", "embedding_dim"} & set(changed)  # what the supernet left at one setting


def test_points_that_were_rejected_are_no_part_of_the_population() -> None:
    study = begun("darts")
    tried = [{**START, "embedding_dim": width} for width in GENES["embedding_dim"].choices[:3]]  # type: ignore[union-attr]
    for worth, point in zip((0.9, 0.2, 0.1), tried, strict=True):
        study.add_trial(create_trial(params=point, distributions=dict(GENES), value=worth, user_attrs={FAMILY: "gnn"}))
    for _ in range(12):
        attributes = {FAMILY: "gnn", REJECTED: True}
        study.add_trial(create_trial(params=POINTS[2], distributions=dict(GENES), value=0.0, user_attrs=attributes))
    for seed in range(10):
        strategy = make_strategy("darts", "gnn", SPACES["gnn"], seed)
        point = strategy.propose(study, len(FOUND.listed))  # beyond its list
        assert sum(point[gene] != tried[0][gene] for gene in GENES) == 1


def test_what_runs_or_waits_is_not_proposed_again() -> None:
    study = begun("one-shot")
    first, second = (ask(study, "one-shot") for _ in range(2))  # neither has ended: two slots
    assert [first.params, second.params] == POINTS[:2]
    study.enqueue_trial(POINTS[2], user_attrs={FAMILY: "gnn"})
    assert make_strategy("one-shot", "gnn", SPACES["gnn"], 0).propose(study) not in POINTS


def test_a_point_that_breaks_a_constraint_is_passed_over() -> None:
    """The first of a draw is written down once it is rejected; the next of the list is not passed over with it."""
    strategy = make_strategy("one-shot", "gnn", SPACES["gnn"], 0)
    study = begun("one-shot")
    add_ended(study, strategy.propose(study), GENES, {FAMILY: "gnn", REJECTED: True}, [0.0])
    assert [strategy.propose(study, attempt) for attempt in (1, 2)] == POINTS[1:]
    assert strategy.propose(study, 3) not in POINTS


def test_another_strategys_list_and_another_family_are_none_of_its_business() -> None:
    study = begun("one-shot")
    for name, family in (("darts", "gnn"), ("tpe", "gnn"), ("one-shot", "filter")):
        assert make_strategy(name, family, SPACES[family], 0).propose(study) not in POINTS
    plain = optuna.create_study(direction="maximize")
    for family in ("filter", "two-hop"):
        ours, tpe = (make_strategy(name, family, SPACES[family], 4) for name in ("one-shot", "tpe"))
        assert ours.propose(study) == tpe.propose(plain)


def test_without_a_list_it_evolves() -> None:
    study = begun("darts")
    replace(FOUND, listed=(), reason="no memory").write(study, "one-shot")
    ours, evolving = (make_strategy(name, "gnn", SPACES["gnn"], 4) for name in ("one-shot", "evolution"))
    free = ("embedding_dim", "learning_rate")
    for point in (START, *POINTS):
        assert ours.propose(study) == evolving.propose(study)
        assert ours.propose(study, base=START, free=free) == evolving.propose(study, base=START, free=free)
        study.add_trial(create_trial(params=point, distributions=dict(GENES), value=0.5, user_attrs={FAMILY: "gnn"}))


def test_it_is_kept_and_read_as_it_was() -> None:
    study = begun("one-shot")
    assert Shortlist.read(study.user_attrs, "one-shot") == FOUND
    assert Shortlist.read(study.user_attrs, "darts") is None
    assert Shortlist.all_of(study.user_attrs) == {"one-shot": FOUND}
