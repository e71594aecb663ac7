"""The result of `evaluate` for people; the JSON form holds more."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

GROUPS = {
    "cold_users": "users with a short history",
    "warm_users": "users with a longer history",
    "test_only_users": "users of test alone",
    "head_items": "head items",
    "middle_items": "middle items",
    "tail_items": "tail items",
    "cold_items": "items with few interactions",
    "warm_items": "items with more",
}
_OF_GROUPS = ("recall", "ndcg", "auc")


def evaluation_table(result: dict[str, Any], name: str) -> RenderableType:
    """Lay the result out: metrics, groups and exposure, then what it was compared with.

    Parameters
    ----------
    result
        The JSON form.
    name
        Of the model.
    """
    tables: list[RenderableType] = [_metrics(result, name)]
    tables += [_differences(other, name) for other in result.get("against", [])]
    notes = [f"{metric}: {reason}" for metric, reason in result["pointwise"]["left_out"].items()]
    return Group(*tables, *notes)


def _metrics(result: dict[str, Any], name: str) -> Table:
    table = Table(title=Text(f"{name} on the test part"), title_justify="left")
    for column in ("metric", "value", "95 % interval", "users"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    parts = [("", result)]
    if result["known_users"]["users"] != result["users"]:
        parts.append((", users known from training", result["known_users"]))
    # Where all users are alike, their group says nothing new.
    groups = {name: part for name, part in result["groups"].items() if part["users"] < result["users"]}
    parts += [(f", {GROUPS[name]}", part) for name, part in groups.items()]
    for remark, part in parts:
        for metric, facts in part["metrics"].items():
            if not remark or metric.partition("@")[0] in _OF_GROUPS:
                interval = f"{facts['low']:.4f} .. {facts['high']:.4f}"
                table.add_row(metric + remark, f"{facts['value']:.4f}", interval, str(facts["users"]))
        table.add_section()
    for metric, value in result["exposure"].items():
        if metric not in result["metrics"]:
            table.add_row(metric, f"{value:.4f}", "", str(result["users"]))
    return table


def _differences(other: dict[str, Any], name: str) -> Table:
    smaller = [metric for metric, facts in other["metrics"].items() if not facts["larger_is_better"]]
    table = Table(
        title=Text(f"{name} against {other['name']}"),
        title_justify="left",
        caption=f"less is better: {', '.join(smaller)}" if smaller else None,
        caption_justify="left",
    )
    for column in ("metric", "difference", "95 % interval", "theirs", "p", "p (Holm)"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric, facts in other["metrics"].items():
        table.add_row(
            metric,
            f"{facts['difference']:+.4f}",
            f"{facts['low']:+.4f} .. {facts['high']:+.4f}",
            f"{facts['value']:.4f}",
            f"{facts['p_value']:.4f}",
            f"{facts['p_holm']:.4f}",
        )
    return table
