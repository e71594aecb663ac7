"""What people read: short enough for a terminal of 80 columns, whole in a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gnas_serve.cli.artifact import _figure
from gnas_serve.cli.console import Output, emit
from gnas_serve.cli.evaluation_table import GROUPS, evaluation_table
from gnas_serve.cli.search_tables import BEST_SHOWN, checkpoint_table, leaderboard_table, status_table

NAMES = {"gnn": "gnn-{:010x}", "filter": "filter-{:010x}", "two-hop": "two-hop-{:010x}", "blend": "blend-{:010x}"}


def row(number: int | None, remark: str = "", kind: str = "gnn") -> dict[str, Any]:
    return {
        "name": NAMES[kind].format(number or 0) if kind != "baseline" else "item-knn",
        "kind": kind,
        "trial": number,
        "model": "" if kind == "baseline" else f"layers of {number} | " + "x" * 100,
        "ndcg@20": 0.1234,
        "recall@20": 0.1234,
        "values": {"ndcg@20": 0.1234},
        "intervals": {"ndcg@20": [0.12, 0.13]},
        "seconds": 1234.5,
        "seeds": [],
        "remark": remark,
    }


NOTHING_MORE: dict[str, Any] = {"objectives": ["ndcg@20"], "front": [], "failed": [], "notes": []}
NOTHING_LEFT_OUT: dict[str, Any] = {"left_out": {}}
VERDICT = {"name": "gnn-0", "kind": "gnn", "gain": None, "margin": 0.01, "reason": "ship gnn-0: " + "y" * 200}


def board(trials: int) -> dict[str, Any]:
    rows = [row(None, "simple", "baseline"), row(0, "verdict, cut 1/12"), row(1, "budget ended")]
    rows += [row(number) for number in range(2, trials)]
    return {"rows": rows, **NOTHING_MORE, "verdict": None}


def board_of_all_kinds() -> dict[str, Any]:
    """A baseline, a blend in both forms, thirty filters, the best network behind them, two hops last of all."""
    rows = [
        row(None, "simple", "baseline"),
        row(None, "verdict", "blend"),
        row(None, "-0.5% ndcg, 123 us per scan", "blend"),
    ]
    rows += [row(number, kind="filter") for number in range(30)]
    rows += [row(30, "budget ended"), row(31), *(row(number, kind="two-hop") for number in range(32, 40))]
    return {"rows": rows, **NOTHING_MORE, "verdict": VERDICT}


def shown(table: Any, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def test_a_leaderboard_fits_80_columns_and_shows_the_best() -> None:
    said = shown(leaderboard_table(board(37), most_trials=BEST_SHOWN, study=Path("my study")))
    table, _, described = said.partition("27 more: see `gnas-serve study leaderboard 'my study'`")
    for remark in ("simple", "verdict, cut 1/12", "budget ended"):
        assert sum(line.rstrip().endswith(remark) for line in table.splitlines()) == 1
    assert table.count("gnn-") == described.count("gnn-") == BEST_SHOWN
    assert "layers of 9" in described
    assert "layers of 10" not in described


def test_the_best_of_every_kind_is_shown_however_many_are_better() -> None:
    said = shown(leaderboard_table(board_of_all_kinds(), most_trials=BEST_SHOWN, study=Path("my study")))
    assert max(map(len, said.splitlines())) <= 80
    table, _, _ = said.partition("30 more: see `gnas-serve study leaderboard 'my study'`")
    lines = [line.split() for line in table.splitlines()]
    numbers = [int(words[1]) for words in lines if words and words[0].split("-")[0] in ("filter", "gnn", "two")]
    assert numbers == [*range(8), 30, 32]
    assert sum(line.startswith("blend-") for line in table.splitlines()) == 2
    assert "item-knn" in table
    assert "a richer model must gain at least 1% and be clear of the noise" in said
    few = shown(leaderboard_table(board_of_all_kinds(), most_trials=1, study=Path("my study")))
    assert "37 more" in few


def test_finalists_are_shown_though_others_were_luckier() -> None:
    found = board(40)
    found["rows"][35] |= {"seeds": [0.13, 0.11], "remark": "verdict, 2 seeds 0.1200 (0.1100-0.1300)"}
    table, _, _ = shown(leaderboard_table(found, most_trials=BEST_SHOWN), 120).partition("30 more")
    assert "verdict, 2 seeds" in table


def test_what_a_richer_model_must_gain_is_said_where_there_is_one() -> None:
    alone = {**board(0), "rows": [row(None, "verdict", "baseline")], "verdict": VERDICT}
    assert "richer" not in shown(leaderboard_table(alone))
    assert "richer" in shown(leaderboard_table({**board(3), "verdict": VERDICT}))
    assert "no verdict" in shown(leaderboard_table(board(3)))


def test_what_could_not_be_found_out_is_said() -> None:
    note = "no network was tried: one epoch takes about 23 s; give a longer --budget"
    assert note in shown(leaderboard_table({**board(3), "notes": [note]}), 120)
    state: dict[str, Any] = {"running": False, "trials": {}, "best": None, "strategy": "tpe", "seed": 0}
    state["warm_start"] = None
    state["strategies"] = ["tpe", "gp"]
    state |= {"objective": "ndcg@20", "space_size": 1, "data": {"fingerprint": "a", "policy": "random"}, "seconds": 1}
    assert note in shown(status_table({**state, "notes": [note, "no blend: a reason"]}), 120)
    assert "tpe, gp" in shown(status_table({**state, "notes": []}))
    assert "no blend: a reason" in shown(status_table({**state, "notes": [note, "no blend: a reason"]}))
    assert "notes" not in shown(status_table({**state, "notes": []}))
    warm = {"study": "spring", "data": "d" * 64, "models": 7, "weights": 2}
    said = shown(status_table({**state, "notes": [], "warm_start": warm}), 120)
    assert f"spring (data {'d' * 12}): 7 models, 2 of them with weights" in said


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
    part = {"metrics": {"ndcg@20": {"value": 0.1, "low": 0.0, "high": 0.2, "users": 10}}, "users": 10}
    result = {**part, "groups": {}, "exposure": {}, "pointwise": NOTHING_LEFT_OUT}
    for known, times in ((10, 1), (9, 2)):
        said = shown(evaluation_table({**result, "known_users": {**part, "users": known}}, "it"))
        assert said.count("ndcg@20") == times


def test_groups_are_shown_where_they_are_not_everybody() -> None:
    part = {"metrics": {"ndcg@20": {"value": 0.1, "low": 0.0, "high": 0.2, "users": 10}}, "users": 10}
    groups = {"warm_users": part, "tail_items": {**part, "users": 7}}
    result = {**part, "known_users": part, "groups": groups, "exposure": {"gini@20": 0.54321}}
    result["pointwise"] = NOTHING_LEFT_OUT
    said = shown(evaluation_table(result, "it"))
    assert "longer history" not in said
    assert "ndcg@20, tail items" in said
    assert "0.5432" in said


def test_differences_fit_80_columns_and_what_is_left_out_is_said() -> None:
    part = {"metrics": {"log_loss": {"value": 0.1, "low": 0.0, "high": 0.2, "users": 8}}, "users": 10}
    fact = {"value": 0.3, "difference": -0.2, "low": -0.25, "high": 0.15, "p_value": 0.0123, "p_holm": 0.0369}
    facts = {"log_loss": {**fact, "larger_is_better": False}, "auc": {**fact, "larger_is_better": True}}
    result = {**part, "known_users": part, "groups": {}, "exposure": {"novelty@20": 0.5}}
    result |= {"pointwise": {"left_out": {"accuracy": "for a reason"}}}
    result |= {"against": [{"name": "runs/[b]other", "kind": "checkpoint", "metrics": facts}]}
    said = shown(evaluation_table(result, "it"))
    assert max(map(len, said.splitlines())) <= 80
    for words in (
        "it against runs/[b]other",
        "less is better: log_loss",
        "accuracy: for a reason",
        "0.2000 │     8",
        "-0.2000",
        "0.0369",
    ):
        assert words in said
    assert "log_loss, auc" not in said
    assert "-0.2500 .. +0.1500" in said
    # What has an interval is not told again without one.
    result["metrics"] = {**part["metrics"], "novelty@20": {"value": 0.5, "low": 0.4, "high": 0.6, "users": 10}}  # type: ignore[dict-item]
    assert shown(evaluation_table(result, "it")).count("novelty@20") == 1


def test_every_group_has_words() -> None:
    thirds = ["head_items", "middle_items", "tail_items"]
    assert list(GROUPS) == ["cold_users", "warm_users", "test_only_users", *thirds, "cold_items", "warm_items"]


@pytest.mark.parametrize(
    ("value", "said"), [(0.99987654, "0.9999"), (-0.01, "-0.01"), (12345.678, "12346"), (1.5e-07, "1.5e-07")]
)
def test_gate_figures_have_four_digits(value: float, said: str) -> None:
    assert _figure(value) == said


TRAINED: dict[str, Any] = {
    "checkpoint": "c",
    "model": "m",
    "known_as": "",
    "epochs": 0,
    "metrics": {"ndcg@20": 0.1356},
    "unseen": None,
}


def test_a_simple_model_goes_by_its_name_and_a_blend_says_what_it_is_worth_to_the_unseen() -> None:
    assert "svd, m (closed form)" in shown(checkpoint_table(TRAINED | {"known_as": "svd"}))
    assert "unseen" not in shown(checkpoint_table(TRAINED))
    blend = shown(checkpoint_table(TRAINED | {"unseen": {"name": "ndcg@20", "value": 0.1309}}))
    assert "ndcg@20 0.1309 in the study" in " ".join(blend.split())


@pytest.mark.parametrize(("epochs", "said"), [(0, "(closed form)"), (1, "(1 epoch)"), (2, "(2 epochs)")])
def test_epochs_are_counted(epochs: int, said: str) -> None:
    assert said in shown(checkpoint_table(TRAINED | {"epochs": epochs}))


def test_several_objectives_have_a_column_each_and_a_front() -> None:
    """What was not measured of a model is left empty; large figures have no decimals."""
    known, unknown = row(0, "verdict, front"), row(1)
    known["values"] |= {"latency_us": 512.4, "coverage@20": 0.25}
    unknown["values"] |= {"latency_us": None, "coverage@20": None}
    said = shown(
        leaderboard_table(
            {
                "rows": [known, unknown],
                **NOTHING_MORE,
                "objectives": ["ndcg@20", "latency_us", "coverage@20"],
                "front": ["gnn-0000000000", "svd"],
                "verdict": VERDICT,
            }
        ),
        width=120,
    )
    head, _, first, second, *_ = said.splitlines()
    assert head.split()[2:] == ["ndcg@20", "95", "%", "interval", "latency_us", "coverage@20", "s", "remark"]
    assert first.split()[2:] == ["0.1234", "0.1200-0.1300", "512", "0.2500", "1234", "verdict,", "front"]
    assert second.split()[2:] == ["0.1234", "0.1200-0.1300", "1234"]
    assert "no model is better in everything than those on the front: gnn-0000000000, svd" in said
