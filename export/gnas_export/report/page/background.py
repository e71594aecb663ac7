"""Background: decisions with their reasons, the files, where the time went, and the machine."""

from __future__ import annotations

from typing import Any

from gnas_export.report.page.table import table
from gnas_search.report.charts.plot import WIDTH, line, shown, svg, text
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import Scale, duration, figure

_ORDER = ("neighbours", "tables", "index", "form", "ranker", "fold_in", "segments")
"""Of the decisions, as they are taken: a file has them by name."""
_ROW = 24.0
_LEFT, _RIGHT = 200.0, 84.0


def decisions(report: dict[str, Any]) -> list[object]:
    """Give every choice with what it rests on."""
    found = report["decisions"]
    if not found:
        return [element("p", "The export ended before its first decision.")]
    columns = (("decision", "name"), ("choice", "name"), ("because", "text"))
    rows = (([name, found[name]["choice"], found[name]["reason"]], "") for name in _ORDER if name in found)
    said = element("code", "--decisions FILE"), " repeats those of an artifact, which holds them as decisions.json."
    return [table("decisions", columns, rows), element("p", said, class_="note")]


def sizes(report: dict[str, Any]) -> list[object]:
    """List the files of the artifact, the largest first."""
    artifact = report["artifact"]
    if not artifact:
        return [element("p", "No artifact was made.")]
    columns = (("file", "name"), ("bytes", "number"), ("share", "number"))
    whole = artifact["size_bytes"]
    files = sorted(artifact["files"].items(), key=lambda one: (-one[1], one[0]))
    rows = [([name, f"{size:,}", f"{100 * size / whole:.1f} %"], "") for name, size in files]
    if size := report["facts"].get("artifact_bytes"):
        said, bytes_ = "artifact bytes: the model's files and its decisions", size["size_bytes"]
        rows.append(([said, f"{bytes_:,}", f"{100 * bytes_ / whole:.1f} %"], "chosen"))
    rows.append((["every file above: the reports apart", f"{whole:,}", "100 %"], "chosen"))
    note = (
        "Artifact bytes are what --max-artifact-bytes limits: all but the manifest, card, SBOM, checksums and reports."
    )
    return [table("files of the artifact", columns, rows), element("p", note, class_="note")]


def steps(report: dict[str, Any]) -> list[object]:
    """Draw how long each step took; those that ran again stand again."""
    found = report["steps"]
    if not found:
        return [element("p", "The export ended in its first step.")]
    x = Scale.over([0.0, *(step["seconds"] for step in found)], _LEFT, WIDTH - _RIGHT, margin=0.0)
    bottom = 8 + _ROW * len(found)
    parts: list[Markup] = [line(x(0.0), 4, x(0.0), bottom, "axis")]
    for place, step in enumerate(found):
        top, end = 8 + _ROW * place, x(step["seconds"])
        title = element("title", f"{step['name']}: {step['seconds']:.3f} s")
        parts += [
            text(_LEFT - 10, top + 14, step["name"], "end"),
            element("rect", title, x=x(0.0), y=top + 3, width=max(1.0, end - x(0.0)), height=_ROW - 8, class_="bar"),
            text(end + 6, top + 14, duration(step["seconds"]), "note"),
        ]
    whole = sum(step["seconds"] for step in found)
    longest = max(found, key=lambda step: float(step["seconds"]))
    label = f"seconds of {len(found)} steps; the longest is {longest['name']}, {duration(longest['seconds'])}"
    return [shown(f"{duration(whole)} in all.", svg(WIDTH, bottom + 8, label, joined(parts)))]


def host(report: dict[str, Any]) -> list[object]:
    """Say on what machine, of what data, under what settings."""
    host, users = report["host"], report["facts"].get("users", {})
    found = {
        "machine": f"{host['machine']}, {host['cpus'] or 'an unknown number of'} CPUs, {host['system']}",
        "Python": host["python"],
        **host["tools"],
        "profile": report["profile"]["name"],
        "candidates": figure(report["candidates"]),
        "learned ranker": report["ranker_mode"],
        "seed": str(report["seed"]),
        "data": report["checkpoint"]["fingerprint"],
        "users who judge": str(users.get("gate", "–")),
        "users whom the ranker learned from": str(users.get("ranker_fitting", "–")),
    }
    runs = report["facts"].get("latency", [])
    if runs:
        found["99th percentile of an answer"] = ", ".join(f"{figure(run['p99_us'])} µs" for run in runs)
    pairs = ((element("dt", name), element("dd", said)) for name, said in found.items())
    return [element("dl", pairs, class_="facts")]
