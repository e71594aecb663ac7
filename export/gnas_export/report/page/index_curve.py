"""Recall against nprobe of the indexes that were tried."""

from __future__ import annotations

from typing import Any

from gnas_search.report.charts.plot import WIDTH, Plot, legend, line, path, shown, svg, text
from gnas_search.report.markup import Markup, element, joined
from gnas_search.report.scale import Scale, figure

_HEIGHT = 320.0
_DEPTHS = (("recall", "c0"), ("top_recall", "c1"))
_COLOURS = 5


def index_curve(report: dict[str, Any]) -> list[object]:
    """Say which index ships, and draw what others find; nothing to draw where none was tried."""
    index = report["facts"].get("index")
    if index is None or "kind" not in index:
        return [element("p", "The export ended before an index was chosen.")]
    reason = report["decisions"].get("index", {}).get("reason", "")
    found = f"recall@{report['candidates']} {index['recall']:.4f}, recall@20 {index['top_recall']:.4f}"
    kind = (
        "Flat search, which is exact"
        if index["kind"] == "flat"
        else f"{index['kind'].upper()}, nprobe {index['nprobe']}, {found}"
    )
    said = element("p", f"{kind}. {reason[:1].upper()}{reason[1:]}." if reason else f"{kind}.")
    if not index["curve"]:
        return [said, element("p", "No approximate index was tried, so there is no curve.", class_="note")]
    return [said, _chart(report, index)]


def _chart(report: dict[str, Any], index: dict[str, Any]) -> Markup:
    curves: dict[tuple[int, int], list[dict[str, float]]] = {}
    for point in index["curve"]:
        curves.setdefault((int(point["dims"]), int(point["refine"])), []).append(point)
    probes = [point["nprobe"] for point in index["curve"]]
    values = [point[name] for point in index["curve"] for name, _ in _DEPTHS]
    depths = {"recall": f"recall@{report['candidates']}", "top_recall": "recall@20"}
    plot = Plot(
        Scale.over(probes, 66.0, WIDTH - 24, log=max(probes) > min(probes)),
        Scale.over([*values, 1.0], _HEIGHT - 60, 14.0),
        "nprobe: lists that a query visits (logarithmic)" if max(probes) > min(probes) else "nprobe",
        "recall of exact search",
    )
    parts = [plot.axes(whole_x=True), line(plot.x.start, plot.y(1.0), plot.x.end, plot.y(1.0), "reference")]
    entries = []
    names = [(kind, name) for kind in sorted(curves) for name, _ in _DEPTHS]
    for place, (kind, name) in enumerate(names):
        class_ = f"curve named c{place % _COLOURS}"
        dims, refine = kind
        said = f"{depths[name]}, {dims} columns" + (" in product codes" if refine > 1 else "")
        points = [(plot.x(point["nprobe"]), plot.y(point[name])) for point in curves[kind]]
        parts.append(path(points if len(points) > 1 else [*points, (points[0][0] + 4, points[0][1])], class_, said))
        for point, (x, y) in zip(curves[kind], points, strict=True):
            title = element("title", f"nprobe {figure(point['nprobe'])}: {said} {point[name]:.4f}")
            parts.append(element("circle", title, cx=x, cy=y, r=3, class_=f"dot c{place % _COLOURS}"))
        entries.append((path([(-8, 0), (8, 0)], class_), said))
    if index["kind"] != "flat":
        x = plot.x(index["nprobe"])
        parts.append(line(x, plot.y.start, x, plot.y.end, "limit"))
        parts.append(text(x - 6, plot.y.start - 8, f"chosen: {index['nprobe']}", "strong end halo"))
    caption = "What is found of exact search, the links of a two-hop model included, on users without labels."
    best = max(point["recall"] for point in index["curve"])
    label = f"recall against nprobe, {len(index['curve'])} points; the highest {depths['recall']} is {best:.4f}"
    return shown(caption, svg(WIDTH, _HEIGHT, label, joined(parts)), key=legend(entries))
