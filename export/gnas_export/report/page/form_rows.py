"""The forms of the ranker as a table, and what compression saves."""

from __future__ import annotations

from typing import Any

from gnas_export.ranker.variants import NUMERIC
from gnas_export.report.page.form_marks import networks_of
from gnas_export.report.page.table import Cell, table
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import figure

_NONE = "–"
_WHOLE = {"whole": "vectors, index and scorer"}


def form_rows(report: dict[str, Any]) -> list[object]:
    """Give every form a row, the chosen one marked."""
    forms = report["facts"].get("forms", {})
    if not forms:
        return [element("p", "No learned ranker was made.")]
    chosen = report["decisions"].get("form", {}).get("choice")
    counts = _counts(forms)
    timed = [(f"µs at C={count}, × faster", "number") for count in counts]
    columns = (
        ("form", "name"),
        ("ndcg@20 retained", "number"),
        ("95 % interval", "number"),
        ("gates breached", "brief"),
        ("bytes", "number"),
        ("× smaller", "number"),
        *timed,
        ("rank correlation", "number"),
        ("first 20 alike", "number"),
    )
    networks = networks_of(forms)
    ordered = sorted(forms.items(), key=lambda one: (networks.index(one[1]["network"]), _place(one[1])))
    weighed = report["facts"].get("weighed_form")
    rows = [
        (_row(name, form, counts, is_weighed=name == weighed), "chosen" if name in (chosen, weighed) else "")
        for name, form in ordered
    ]
    said = "Against the teacher in fp32, timed in the same run; retained is what is left of its ndcg@20."
    if weighed:
        said += f" {weighed} was weighed against retrieval in its own order, which ships."
    if attention := report["facts"].get("attention"):
        rows.insert(0, (_attention_row(attention, len(columns)), ""))
        said += f" {attention['network']} reads the user's history, which the graph that ships is not given."
    return [element("p", said, class_="note"), table("forms of the ranker", columns, rows)]


def _place(form: dict[str, Any]) -> int:
    return NUMERIC.index(form["numeric"])


def _counts(forms: dict[str, Any]) -> list[str]:
    """Give the numbers of candidates that forms were timed at: the profile's, by which one is chosen, among them."""
    return sorted({count for form in forms.values() for count in form.get("latency_us", {})}, key=int)


def _row(name: str, form: dict[str, Any], counts: list[str], *, is_weighed: bool) -> list[Cell]:
    times, faster = form.get("latency_us", {}), form.get("times_faster", {})
    timed = [
        f"{figure(times[count])} ({faster[count]:.1f}×)" if count in times else _NONE  # times
        for count in counts
    ]
    kept = form.get("retained")
    interval = _NONE if kept is None else f"{100 * kept['low']:.1f} – {100 * kept['high']:.1f} %"
    return [
        joined(name, element("br"), "weighed against retrieval") if is_weighed else name,
        _NONE if kept is None else f"{100 * kept['value']:.1f} %",
        interval,
        ", ".join(form["breaches"]),
        f"{form['size_bytes']:,}",
        f"{form['times_smaller']:.1f}",
        *timed,
        f"{form['teacher_rank_correlation']:.3f}",
        f"{form['teacher_overlap@20']:.3f}",
    ]


def _attention_row(attention: dict[str, Any], width: int) -> list[Cell]:
    kept = attention["retained"]
    name = f"{attention['network']}, cannot ship, {'followed' if attention['followed'] else 'not followed'}"
    said = [f"{100 * kept['value']:.1f} %", f"{100 * kept['low']:.1f} – {100 * kept['high']:.1f} %"]
    return [name, *said, "", *[_NONE] * (width - 4)]


def saved(report: dict[str, Any]) -> list[object]:
    """Set the bytes of what ships beside those without compression, and say what is left of the lists."""
    savings = report["facts"].get("savings")
    if savings is None:
        return [element("p", "The export ended before this was measured.")]
    columns = (("part", "name"), ("bytes", "number"), ("in fp32", "number"))
    parts = {name: savings[name] for name in ("tables", "index", "scorer", "whole")}
    rows = (
        (
            [_WHOLE.get(name, name), f"{one['size_bytes']:,}", f"{one['fp32_bytes']:,}"],
            "chosen" if name in _WHOLE else "",
        )
        for name, one in parts.items()
    )
    said = (
        f"{against_fp32(savings['whole']['times_smaller'])} bytes than with vectors and links in float32, exact "
        "search, which needs no index, and the ranker as it was trained first."
    )
    return [element("p", said), table("bytes of vectors, index and scorer", columns, rows), _retained(savings)]


def against_fp32(times_smaller: float) -> str:
    """Say how many times fewer bytes, or more: an index can outweigh what compression saves."""
    return f"{times_smaller:.1f} times fewer" if times_smaller >= 1 else f"{1 / times_smaller:.1f} times more"


def _retained(savings: dict[str, Any]) -> Markup | None:
    if "retained" not in savings:
        return element("p", "Too few users judge: what is retained was not measured.", class_="note")
    said = " and ".join(
        f"{100 * kept['value']:.1f} % of {name} ({100 * kept['low']:.1f} – {100 * kept['high']:.1f} %)"
        for name, kept in sorted(savings["retained"].items(), reverse=True)
    )
    return element("p", f"Of the same path without compression it retains {said}, on the users who judge.")
