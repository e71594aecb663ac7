"""Draws of a study whose strategy has nothing new to propose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial
from toy_study import SMALL, ToySlot, go, interrupt

from gnas_search.space import SearchSpace
from gnas_search.space.points import Genes, Point
from gnas_search.strategies import STRATEGIES
from gnas_search.study import Study
from gnas_search.study.draws import LOST, Draws

FILTERS = {"genes": {"rank": [4, 8, 16], "user_power": [0.0, 0.25, 0.5]}, "start": [{"rank": 4, "user_power": 0.0}]}


def stubborn(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    return {name: gene.choices[0] for name, gene in genes.items()}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def _stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "random", stubborn)


def sequence(study: Study) -> list[tuple[str, str, bool]]:
    ended = [trial for trial in study.trials if trial.state != "interrupted"]
    return [(trial.key, trial.state, trial.duplicate_of is not None) for trial in ended]


@pytest.mark.usefixtures("_stubborn")
def test_a_strategy_that_repeats_itself_does_not_end_a_search(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=5, strategy="random", space=SearchSpace.from_json({"filter": FILTERS}))
    drawn = sequence(study)
    assert len({key for key, *_ in drawn}) == 5
    assert [again for *_, again in drawn[: LOST + 1]] == [False, *[True] * LOST]
    assert len({key for key, *_ in drawn[: LOST + 1]}) == 1


@pytest.mark.parametrize(
    ("name", "at"), [("evolution", 0), ("evolution", 1), *(("random", place) for place in range(4))]
)
def test_killed_between_a_rejected_point_and_the_next_it_goes_on_with_the_next(
    name: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genes = {"num_layers": [1, 2], "operator": ["gcn", "gin", "lightgcn", "sage_mean"], "embedding_dim": [8, 16]}
    space = SearchSpace.from_json({**SMALL, "genes": genes, "forbid": [{"operator": ["gcn", "gin"]}]})
    whole = go(tmp_path / "whole", trials=12, strategy=name, space=space)
    states = [state for _, state, _ in sequence(whole)]
    assert states.count("infeasible") > at
    reject, rejected = Draws._reject, []

    def killed(self: Draws, *told: Any) -> None:
        reject(self, *told)
        rejected.append(told)
        if len(rejected) == at + 1:
            interrupt()  # nothing runs between here and the next proposal: the same as kill -9

    monkeypatch.setattr(Draws, "_reject", killed)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "part", trials=12, strategy=name, space=space)
    assert sequence(go(tmp_path / "part", trials=12, strategy=name)) == sequence(whole)


@pytest.mark.usefixtures("_stubborn")
def test_interrupted_it_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    space = SearchSpace.from_json({"filter": FILTERS})
    whole = go(tmp_path / "whole", trials=5, strategy="random", space=space)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", trials=5, strategy="random", space=space, slots=ToySlot({2: interrupt}))
    assert sequence(go(tmp_path / "cut", trials=5, strategy="random")) == sequence(whole)


def test_what_is_charged_delays_the_turn_of_its_family_where_families_share_the_time() -> None:
    space = SearchSpace.from_json({**SMALL, "filter": FILTERS})

    def turns(charged: str, *, share_time: bool) -> list[str]:
        """Say whose turns are the first four, all of which end at once."""
        draws = Draws(optuna.create_study(), space, "random", 0, share_time=share_time)
        draws.charge(charged, 100.0)
        found = []
        for _ in range(4):
            drawn = draws.draw(list(draws.families))
            assert drawn is not None
            draws.ended(drawn[0].number)
            found.append(drawn[2])
        return found

    assert turns("gnn", share_time=True) == ["filter"] * 4
    assert turns("filter", share_time=True) == ["gnn"] * 4
    assert turns("gnn", share_time=False) == turns("filter", share_time=False) == ["filter", "gnn", "gnn", "filter"]


def test_of_two_families_the_one_with_the_larger_share_may_have_had_more() -> None:
    """Networks have half of the time where filters have a quarter; what is charged adds up."""
    space = SearchSpace.from_json({**SMALL, "filter": FILTERS})
    draws = Draws(optuna.create_study(), space, "random", 0, share_time=True)
    draws.charge("filter", 80.0)
    draws.charge("gnn", 60.0)
    for turn in ("gnn", "filter"):  # 120 s of networks are as 60 s of filters, 180 s as 90 s
        draws.charge("gnn", 60.0)
        drawn = draws.draw(["filter", "gnn"])
        assert drawn is not None
        draws.ended(drawn[0].number)
        assert drawn[2] == turn
