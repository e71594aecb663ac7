"""What `search`, `train` and `study` show to people."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text


def leaderboard_table(board: dict[str, Any]) -> Group:
    """Show the models of a study, its verdict, and why trials failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("model", "trial", "ndcg@20", "95 % interval", "recall@20", "seconds", "remark"):
        text = column in ("model", "remark")
        table.add_column(column, justify="left" if text else "right", no_wrap=column != "remark")
    described = Table.grid(padding=(0, 2))
    for row in board["rows"]:
        low, high = row["intervals"]["ndcg@20"]
        table.add_row(
            row["name"],
            "" if row["trial"] is None else str(row["trial"]),
            f"{row['ndcg@20']:.4f}",
            f"{low:.4f}-{high:.4f}",
            f"{row['recall@20']:.4f}",
            f"{row['seconds']:.1f}",
            row["remark"],
        )
        if row["model"]:
            described.add_row(row["name"], Text(row["model"]))
    # The architectures stand below: as a column they would not fit beside the figures.
    parts: list[Any] = [table, described, ""]
    parts += [Text(f"trial {failed['trial']} failed: {failed['reason']}") for failed in board["failed"]]
    verdict = board["verdict"]
    parts.append(Text(verdict["reason"] if verdict is not None else "no verdict: no model is usable yet", style="bold"))
    if verdict is not None and verdict["gain"] is not None:
        parts.append(Text(f"(a network must gain at least {verdict['margin']} and be clear of the noise)", style="dim"))
    return Group(*parts)


def status_table(state: dict[str, Any]) -> Table:
    """Show the state of a study."""
    counts = ", ".join(f"{count} {name}" for name, count in state["trials"].items() if count) or "none yet"
    best = state["best"]
    facts = {
        "running": "yes" if state["running"] else "no",
        "trials": counts,
        "best": "nothing yet" if best is None else f"{best['name']}: {state['objective']} {best['value']:.4f}",
        "strategy": state["strategy"],
        "seed": str(state["seed"]),
        "space": f"{state['space_size']:,} architectures, settings on a continuous scale aside",
        "data": f"{state['data']['fingerprint'][:12]}, split {state['data']['policy']}",
        "spent": f"{state['seconds']:.0f} s",
    }
    return _facts(facts)


def checkpoint_table(result: dict[str, Any]) -> Table:
    """Show what was trained."""
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(result["metrics"].items()))
    epochs = f"{result['epochs']} epochs" if result["epochs"] else "closed form"
    facts = {"checkpoint": result["checkpoint"], "model": f"{result['model']} ({epochs})", "validation": metrics}
    return _facts(facts)


def _facts(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table
