"""Summary: the head of a report, from the verdict in plain words to the leaderboard."""

from __future__ import annotations

from typing import Any

from gnas_search.report.markup import Markup, element
from gnas_search.report.models import KIND_NAMES, Model
from gnas_search.report.scale import duration, figure
from gnas_search.study import Study, Verdict, leaderboard, status
from gnas_search.study.verdict import BASELINE, RICHNESS


def verdict_of(study: Study, verdict: Verdict | None, models: tuple[Model, ...]) -> list[object]:
    """Say what to ship and why, and what could not be found out."""
    state = status(study)
    chosen = next((model for model in models if verdict is not None and model.name == verdict.name), None)
    parts: list[object] = []
    if state["running"]:
        parts.append(element("p", "This study is running: what follows is what it has found so far.", class_="banner"))
    if verdict is None or chosen is None:
        parts.append(element("p", "No verdict: no model is usable yet.", class_="headline"))
    else:
        parts.append(element("p", _headline(verdict, chosen), class_="headline"))
        parts.append(element("p", _in_words(verdict, models)))
        parts.append(
            element(
                "p",
                f"{verdict.reason}. A richer model must gain at least {verdict.margin:.0%} and be clear of the noise, "
                "by the 80 % interval shown here.",
                class_="note",
            )
        )
    notes = state["notes"]
    if notes:
        parts.append(element("ul", (element("li", note) for note in notes), class_="notes"))
    parts.append(_tiles(state, chosen))
    return parts


def _headline(verdict: Verdict, chosen: Model) -> str:
    number = "" if chosen.trial is None else f", trial {chosen.trial}"
    return f"Ship the {KIND_NAMES[verdict.kind]} {verdict.name}{number}."


def _in_words(verdict: Verdict, models: tuple[Model, ...]) -> str:
    simple = next((model for model in models if model.name == verdict.against), None)
    without = _without_baseline(verdict.kind if simple is None else simple.kind, models)
    if verdict.gain is None or simple is None:
        if not any(RICHNESS.index(model.kind) > RICHNESS.index(verdict.kind) for model in models):
            return f"{without}Nothing richer was measured yet."
        shipped = "simple model" if verdict.kind == BASELINE else KIND_NAMES[verdict.kind]
        return f"{without}Nothing richer that was tried is clearly better on the validation users: ship the {shipped}."
    by = simple.yardstick
    gain, value = by.turned(verdict.gain), simple.value
    relative = f" ({gain.value / value:+.1%})" if value > 0 else ""
    sure = (
        "more than chance would make of it"
        if verdict.gain.low > 0
        else "clear of chance by the verdict's 80 % interval, if not by the 95 % interval shown"
    )
    verb = "gains" if by.sign > 0 else "changes by"
    over = (
        f"the best baseline, {simple.name}"
        if simple.kind == BASELINE
        else f"the {KIND_NAMES[simple.kind]} {simple.name}, the simplest usable one"
    )
    return (
        f"{without}On the same validation users it {verb} {gain.value:+.4f} {by.name}{relative} over {over}; "
        f"with 95 % confidence it is between {gain.low:+.4f} and {gain.high:+.4f}: {sure}."
    )


def _without_baseline(simplest: str, models: tuple[Model, ...]) -> str:
    """Say why the simplest kind of usable model is no baseline; empty where it is one."""
    if simplest == BASELINE:
        return ""
    best = next((model for model in models if model.kind == BASELINE), None)
    if best is None:
        return "No baseline was measured. "
    return f"The best baseline, {best.name}, is not usable: it puts no held-out item into anybody's best 20. "


def _tiles(state: dict[str, Any], chosen: Model | None) -> Markup:
    counts = state["trials"]
    other = ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "complete")
    found: list[tuple[str, str]] = []
    if chosen is not None:
        found.append((f"{chosen.yardstick.name} of the verdict", f"{chosen.value:.4f}"))
        found.append(("its recall@20", f"{chosen.measured.recall.value:.4f}"))
    found.append(("complete trials", str(counts["complete"])))
    if other:
        found.append(("other trials", other))
    found.append(("spent on what was measured", duration(state["seconds"])))
    return element(
        "dl", (element("div", element("dt", name), element("dd", value)) for name, value in found), class_="tiles"
    )


def _columns(objectives: list[str]) -> tuple[tuple[str, str], ...]:
    """Head the columns, each with the kind of its cells."""
    first, *others = objectives
    figures = (first, "95 % interval", *(others or ["recall@20"]), "time, s", "parameters")
    named = dict.fromkeys(("trial", *figures))  # parameters may be an objective, too
    return (("model", ""), ("kind", ""), *((name, "number") for name in named), ("remark", ""), ("what it is", ""))


def board(study: Study) -> list[object]:
    """Give the leaderboard as a table; a few lines of script make its headings sort it."""
    found = leaderboard(study)
    rows, columns = found["rows"], _columns(found["objectives"])
    if not rows:
        return [element("p", "No model is measured yet.")]
    head = element("tr", (element("th", name, scope="col", class_=kind or None) for name, kind in columns))
    table = element(
        "table",
        element("thead", head),
        element("tbody", (_row(row, found["objective"], columns) for row in rows)),
        id="board",
        class_="sortable",
    )
    said = f"{len(rows)} models: baselines, blends, then trials, each group from best to worst."
    return [
        element("p", said, class_="note"),
        element("div", table, class_="scroll tall", tabindex="0", role="group", aria_label="leaderboard"),
    ]


def _row(row: dict[str, Any], first: str, columns: tuple[tuple[str, str], ...]) -> Markup:
    low, high = row["intervals"][first]
    known: dict[str, tuple[str, float | None]] = {
        "model": (row["name"], None),
        "kind": (KIND_NAMES[row["kind"]], None),
        "trial": ("" if row["trial"] is None else str(row["trial"]), -1 if row["trial"] is None else row["trial"]),
        "95 % interval": (f"{low:.4f}–{high:.4f}", low),
        "recall@20": (f"{row['recall@20']:.4f}", row["recall@20"]),
        "time, s": (f"{row['seconds']:.1f}", row["seconds"]),
        "parameters": (figure(row["parameters"]) if row["parameters"] else "", row["parameters"]),
        "remark": (row["remark"], None),
        "what it is": (row["model"], None),
    }
    for name, value in row["values"].items():
        said = "" if value is None else f"{value:.4f}" if abs(value) < 10 else figure(value)
        known.setdefault(name, (said, value))
    cells = [known[name] for name, _ in columns]
    drawn = [
        element(
            "th" if place == 0 else "td",
            said,
            scope="row" if place == 0 else None,
            class_=columns[place][1] or None,
            data_value=None if value is None else repr(float(value)),
        )
        for place, (said, value) in enumerate(cells)
    ]
    chosen = "verdict" in row["remark"].split(", ")
    return element("tr", drawn, class_="chosen" if chosen else None)
