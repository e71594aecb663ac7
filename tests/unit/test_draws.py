"""Draws of a study whose strategy has nothing new to propose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial
from toy_study import ToySlot, go, interrupt

from gnas_search.space import SearchSpace
from gnas_search.strategies import STRATEGIES
from gnas_search.strategies.encoding import Genes, Point
from gnas_search.study import Study
from gnas_search.study.draws import LOST

FILTERS = {"genes": {"rank": [4, 8, 16], "user_power": [0.0, 0.25, 0.5]}, "start": [{"rank": 4, "user_power": 0.0}]}


def stubborn(finished: Sequence[FrozenTrial], genes: Genes, seed: int) -> Point:
    return {name: gene.choices[0] for name, gene in genes.items()}


@pytest.fixture(autouse=True)
def _strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    monkeypatch.setitem(STRATEGIES, "random", stubborn)


def sequence(study: Study) -> list[tuple[str, bool]]:
    return [(trial.key, trial.duplicate_of is not None) for trial in study.trials if trial.state != "interrupted"]


def test_a_strategy_that_repeats_itself_does_not_end_a_search(tmp_path: Path) -> None:
    study = go(tmp_path / "study", trials=5, strategy="random", space=SearchSpace.from_json({"filter": FILTERS}))
    drawn = sequence(study)
    assert len({key for key, _ in drawn}) == 5
    assert [again for _, again in drawn[: LOST + 1]] == [False, *[True] * LOST]
    assert len({key for key, _ in drawn[: LOST + 1]}) == 1


def test_interrupted_it_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    space = SearchSpace.from_json({"filter": FILTERS})
    whole = go(tmp_path / "whole", trials=5, strategy="random", space=space)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", trials=5, strategy="random", space=space, slots=ToySlot({2: interrupt}))
    assert sequence(go(tmp_path / "cut", trials=5, strategy="random")) == sequence(whole)
