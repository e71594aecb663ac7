"""What the documentation says of a strategy is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from gnas_search.strategies import DEFAULT_STRATEGY, NO_BETTER_THAN_RANDOM, STRATEGIES

ROOT = Path(__file__).parents[2]
MEASURED = json.loads((ROOT / "tests/bench/table/regrets.json").read_text(encoding="utf-8"))


def test_every_strategy_was_measured() -> None:
    assert sorted(MEASURED) == sorted(STRATEGIES)


def test_those_that_chance_is_as_good_as_are_labelled() -> None:
    no_better = sorted(name for name, one in MEASURED.items() if name != "random" and one["p"] >= 0.01)
    assert sorted(NO_BETTER_THAN_RANDOM) == no_better
    rows = (ROOT / "search/README.md").read_text(encoding="utf-8").splitlines()
    for name, one in MEASURED.items():
        row = next(line for line in rows if line.startswith(f"| `{name}`"))
        assert f"{one['median'][2]:.4f}" in row
        assert ("no better than random" in row) == (name in NO_BETTER_THAN_RANDOM)
        assert ("(default)" in row) == (name == DEFAULT_STRATEGY)
