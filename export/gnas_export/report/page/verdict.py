"""The head of the page: does it ship, what would, and every gate."""

from __future__ import annotations

from typing import Any

from gnas_export.gates import significance
from gnas_export.judging.quality import RETRIEVAL
from gnas_export.report.page.standing import interval_of, standing, tiles
from gnas_export.report.page.table import Cell, table
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import figure

LEARNED = "mlp"


def verdict(report: dict[str, Any]) -> list[object]:
    """Say whether it ships; where it does not, what was in the way and what to do."""
    error = report["error"]
    if error is None:
        parts: list[object] = [element("p", f"Passed. {_what(report)} ships.", class_="headline")]
        version = report["artifact"].get("version")
        if version:
            parts.append(element("p", f"Version {version}, profile {report['profile']['name']}.", class_="note"))
        parts += _of_the_ranker(report)
    else:
        breached = [gate for gate in report["gates"] if not gate["passed"]]
        said = " and ".join(f"gate {gate['name']}" for gate in breached) or error["code"]
        parts = [element("p", f"Failed: {said}. No artifact was made.", class_="headline bad")]
        parts += [element("p", _breach(gate), class_="banner bad") for gate in breached]
        if not breached:
            parts.append(element("p", error["message"], class_="banner bad"))
        if error["hint"]:
            parts.append(element("p", element("strong", "What to do: "), f"{error['hint']}."))
    return [*parts, tiles(report), *standing(report)]


def gates(report: dict[str, Any]) -> list[object]:
    """List the gates that bind what ships, then those of a ranker that does not."""
    if not report["gates"]:
        return [element("p", "The export ended before its first gate.")]
    other = [gate for gate in report["ranker_gates"] if gate not in report["gates"]]
    parts: list[object] = [
        element(
            "p", "The margin is how far a value is from its limit; below 0 it is on the wrong side.", class_="note"
        ),
        _gate_table("gates", report["gates"]),
    ]
    if other:
        parts.append(element("p", "Of the learned ranker, which does not ship, and so of no consequence:"))
        parts.append(_gate_table("gates of the learned ranker", other))
    return parts


def margin(gate: dict[str, Any]) -> float | None:
    """Tell how far a value is on the right side of its limit, below 0 if on the wrong one; None if not measured."""
    if gate["value"] is None:
        return None
    distance = abs(gate["value"] - gate["limit"])
    return float(distance if gate["passed"] else -distance)


def _breach(gate: dict[str, Any]) -> str:
    found = "no value" if gate["value"] is None else figure(gate["value"])
    return f"{gate['name']}: {found} against a limit of {figure(gate['limit'])}: {gate['remark']}."


def _gate_table(label: str, gates: list[dict[str, Any]]) -> Markup:
    columns = (
        ("gate", "name"),
        ("passed", ""),
        ("measured", "number"),
        ("limit", "number"),
        ("margin", "number"),
        ("what is compared", "text"),
    )
    return table(label, columns, ((_gate(gate), "" if gate["passed"] else "breached") for gate in gates))


def _gate(gate: dict[str, Any]) -> list[Cell]:
    apart = margin(gate)
    passed = "no" if not gate["passed"] else "skipped" if gate["value"] is None else "yes"
    return [
        gate["name"],
        passed,
        _measured(gate),
        f"{figure(gate['limit'])}{_deciding_end(gate)}",
        "–" if apart is None else figure(apart),
        gate["remark"],
    ]


def _measured(gate: dict[str, Any]) -> str | Markup:
    """Show a value; of a difference its mean and interval, and what these tell, not the end that decides."""
    if gate["value"] is None:
        return "–"
    if (change := gate.get("change")) is None:
        return figure(gate["value"])
    told = significance(change["low"], change["high"])
    return joined(interval_of(change, signed=True), element("br"), told)


def _deciding_end(gate: dict[str, Any]) -> str:
    if gate["value"] is None or (change := gate.get("change")) is None:
        return ""
    return ", low end" if gate["value"] == change["low"] else ", high end"


def _what(report: dict[str, Any]) -> str:
    chosen = {name: decision["choice"] for name, decision in report["decisions"].items()}
    if chosen.get("ranker") != LEARNED:
        return "Retrieval in its own order, without a learned ranker,"
    network, _, numeric = chosen["form"].partition("/")
    return f"The ranker {network} in {numeric}"


def _of_the_ranker(report: dict[str, Any]) -> list[object]:
    """Say what a ranker that was asked for brings, and whether the network that it is made of is worse than none."""
    said: list[object] = []
    gains = report["facts"].get("ranker_against_retrieval", {})
    if report["ranker_mode"] == "always":
        brings = "what it brings was not measured: too few users judge"
        if shipped := gains.get("shipped"):
            brings = f"ndcg@20 against {RETRIEVAL} {_gain(shipped)}"
        said.append(element("p", f"The ranker was asked for (--ranker always): {brings}."))
    teacher = gains.get("teacher")
    if teacher and teacher["high"] < 0:
        worse = f"The learned ranker as it was trained (fp32) is worse than {RETRIEVAL}: ndcg@20 {_gain(teacher)}."
        said.append(element("p", worse, class_="banner bad"))
    return said


def _gain(gain: dict[str, float]) -> str:
    return f"{interval_of(gain, signed=True)}, {significance(gain['low'], gain['high'])}"
