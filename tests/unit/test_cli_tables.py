"""What people read: short enough for a terminal of 80 columns, whole in a file."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gnas_serve.cli.console import Output, emit
from gnas_serve.cli.evaluate import _table
from gnas_serve.cli.export import _figure
from gnas_serve.cli.search_tables import BEST_SHOWN, checkpoint_table, leaderboard_table


def row(number: int | None, remark: str = "") -> dict[str, Any]:
    name = f"gnn-{number:010x}" if number is not None else "item-knn"
    return {
        "name": name,
        "kind": "baseline" if number is None else "gnn",
        "trial": number,
        "model": "" if number is None else f"layers of {number} | " + "x" * 100,
        "ndcg@20": 0.1234,
        "recall@20": 0.1234,
        "intervals": {"ndcg@20": [0.12, 0.13]},
        "seconds": 123.4,
        "remark": remark,
    }


def board(trials: int) -> dict[str, Any]:
    rows = [row(None, "not servable"), row(0, "verdict, cut 1/12"), row(1, "verdict, budget ended")]
    rows += [row(number) for number in range(2, trials)]
    return {"rows": rows, "failed": [], "verdict": None}


def shown(table: Any, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def test_a_leaderboard_fits_80_columns_and_shows_the_best() -> None:
    said = shown(leaderboard_table(board(37), most_trials=BEST_SHOWN))
    table, _, described = said.partition("27 more: see `gnas-serve study leaderboard`")
    for remark in ("not servable", "verdict, cut 1/12", "verdict, budget ended"):
        assert sum(line.rstrip().endswith(remark) for line in table.splitlines()) == 1
    assert table.count("gnn-") == described.count("gnn-") == BEST_SHOWN
    assert "layers of 9" in described
    assert "layers of 10" not in described


def test_a_whole_leaderboard_says_nothing_of_more() -> None:
    for table in (leaderboard_table(board(37)), leaderboard_table(board(BEST_SHOWN), most_trials=BEST_SHOWN)):
        assert "more:" not in shown(table)
    assert shown(leaderboard_table(board(37))).count("layers of") == 37


def test_a_file_has_no_width(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, leaderboard_table(board(1)), Output.text)
    line = next(line for line in capsys.readouterr().out.splitlines() if "layers of 0" in line)
    assert line.startswith("gnn-")
    assert line.rstrip().endswith("x" * 100)


def test_metrics_are_shown_once_where_all_users_are_known() -> None:
    part = {"metrics": {"ndcg@20": {"value": 0.1, "low": 0.0, "high": 0.2}}, "users": 10}
    for known, times in ((10, 1), (9, 2)):
        said = shown(_table({**part, "known_users": {**part, "users": known}}, "it"))
        assert said.count("ndcg@20") == times


@pytest.mark.parametrize(
    ("value", "said"), [(0.99987654, "0.9999"), (-0.01, "-0.01"), (12345.678, "12346"), (1.5e-07, "1.5e-07")]
)
def test_gate_figures_have_four_digits(value: float, said: str) -> None:
    assert _figure(value) == said


@pytest.mark.parametrize(("epochs", "said"), [(0, "(closed form)"), (1, "(1 epoch)"), (2, "(2 epochs)")])
def test_epochs_are_counted(epochs: int, said: str) -> None:
    assert said in shown(checkpoint_table({"checkpoint": "c", "model": "m", "epochs": epochs, "metrics": {}}))
