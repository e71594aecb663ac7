"""What `search`, `train` and `study` show to people."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

BEST_SHOWN = 10
"""Trials that `search` ends with, the best of every kind among them; `study leaderboard` shows all."""


def leaderboard_table(board: dict[str, Any], *, most_trials: int | None = None, study: Path = Path("STUDY")) -> Group:
    """Show the models of a study, its verdict, why trials failed, and what could not be found out.

    Parameters
    ----------
    board
        From :func:`gnas_search.study.leaderboard`.
    most_trials
        Only so many of the best trials, that of each kind and the finalists always among them; None shows all.
    study
        Its folder, for the command that shows the others.
    """
    rows = _shortened(board["rows"], most_trials)
    more = len(board["rows"]) - len(rows)
    # The box divides by one blank each: all figures and the longest remark are 80 columns wide.
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    first, *others = board["objectives"]
    for column in ("model", "trial", first, "95 % interval", *(others or ["recall@20"]), "s", "remark"):
        text = column in ("model", "remark")
        table.add_column(column, justify="left" if text else "right", no_wrap=column != "remark")
    described = Table.grid(padding=(0, 2))
    for row in rows:
        low, high = row["intervals"][first]
        further = [row["values"][name] for name in others] if others else [row["recall@20"]]
        table.add_row(
            row["name"],
            "" if row["trial"] is None else str(row["trial"]),
            _figure(row["values"][first]),
            f"{low:.4f}-{high:.4f}",
            *(_figure(value) for value in further),
            f"{row['seconds']:.{0 if row['seconds'] >= 1000 else 1}f}",
            row["remark"],
        )
        if row["model"]:
            described.add_row(row["name"], Text(row["model"]))
    # The models are described below: as a column that would not fit beside the figures.
    parts: list[Any] = [table, "", described, ""]
    if more:
        parts.insert(1, Text(f"{more} more: see `gnas-serve study leaderboard {shlex.quote(str(study))}`"))
    for broken in board.get("infeasible", ()):
        which = "" if broken["trial"] is None else f"trial {broken['trial']} is infeasible: "
        parts.append(Text(f"{which}{broken['reason']}"))
    parts += [Text(f"trial {failed['trial']} failed: {failed['reason']}") for failed in board["failed"]]
    parts += [Text(note) for note in board["notes"]]
    if len(board["front"]) > 1 and others:
        parts.append(Text(f"no model is better in everything than those on the front: {', '.join(board['front'])}"))
    verdict = board["verdict"]
    parts.append(Text(verdict["reason"] if verdict is not None else "no verdict: no model is usable yet", style="bold"))
    if verdict is not None and any(row["kind"] != "baseline" for row in board["rows"]):
        least = f"{verdict['margin']:.0%}"
        parts.append(
            Text(
                f"(a richer model must gain at least {least} and be clear of the noise, by its 80 % interval)",
                style="dim",
            )
        )
    return Group(*parts)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"


def _shortened(rows: list[dict[str, Any]], most_trials: int | None) -> list[dict[str, Any]]:
    """Keep the best trial of each kind, the finalists and, up to so many, the best of all; and whatever is no trial."""
    trials = [row for row in rows if row["trial"] is not None]
    if most_trials is None or len(trials) <= most_trials:
        return rows
    best_of_kind = {row["kind"]: row["trial"] for row in reversed(trials)}
    # By their mean over seeds, finalists may stand behind what was lucky once; one of them speaks for the networks.
    kept = {*best_of_kind.values(), *(row["trial"] for row in trials if row["seeds"])}
    for row in trials:
        if len(kept) >= most_trials:
            break
        kept.add(row["trial"])
    return [row for row in rows if row["trial"] is None or row["trial"] in kept]


def status_table(state: dict[str, Any]) -> Table:
    """Show the state of a study."""
    counts = ", ".join(f"{count} {name}" for name, count in state["trials"].items() if count) or "none yet"
    best = state["best"]
    facts = {
        "running": "yes" if state["running"] else "no",
        "trials": counts,
        "best": "nothing yet" if best is None else f"{best['name']}: {state['objective']} {best['value']:.4f}",
        "strategy": ", ".join(state["strategies"]) or state["strategy"],
        "seed": str(state["seed"]),
        "space": f"{state['space_size']:,} models, settings on a continuous scale aside",
        "data": f"{state['data']['fingerprint'][:12]}, split {state['data']['policy']}",
        "spent": f"{state['seconds']:.0f} s",
    }
    if state["warm_start"] is not None:
        warm = state["warm_start"]
        taken = f"{warm['models']} models, {warm['weights']} of them with weights"
        facts["warm start"] = f"{warm['study']} (data {warm['data'][:12]}): {taken}"
    if state["notes"]:
        facts["notes"] = "\n".join(state["notes"])
    return _facts(facts)


def checkpoint_table(result: dict[str, Any]) -> Table:
    """Show what was trained."""
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(result["metrics"].items()))
    count = result["epochs"]
    epochs = f"{count} epoch{'' if count == 1 else 's'}" if count else "closed form"
    name = f"{result['known_as']}, {result['model']}" if result["known_as"] else result["model"]
    facts = {"checkpoint": result["checkpoint"], "model": f"{name} ({epochs})", "validation": metrics}
    if result["unseen"] is not None:
        facts["unseen"] = (
            f"{result['unseen']['name']} {result['unseen']['value']:.4f} in the study, on users by whom its"
        )
        facts["unseen"] += " weights were not fitted; the figures above are of those by whom they were, too"
    return _facts(facts)


def _facts(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table
