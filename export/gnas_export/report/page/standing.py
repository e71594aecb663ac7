"""Where an artifact stands: its figures in tiles, and the simple models beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas_export.report.page.form_rows import against_fp32
from gnas_export.report.page.table import table
from gnas_search.report.markup import Markup, element
from gnas_search.report.scale import figure

_PATHS = {
    "shipped": "what ships",
    "exact_retrieval": "uncompressed exact retrieval",
    "popularity": "popularity",
    "baseline_item-knn": "item-knn",
    "baseline_svd": "svd",
}
_FORMS = {"vectors": "tables", "links": "neighbours", "index": "index"}
_METRICS = ("ndcg@20", "recall@20")
_TIMED = "99th percentile of an answer"


def tiles(report: dict[str, Any]) -> Markup:
    """Give the figures by which a release is decided."""
    chosen = {name: decision["choice"] for name, decision in report["decisions"].items()}
    facts = report["facts"]
    found: list[tuple[str, str, str]] = []
    newcomers = "fold_in" if chosen.get("fold_in") == "map" else "popularity"
    for name, path, said in (
        ("ndcg@20", "shipped", "ndcg@20"),
        ("recall@20", "shipped", "recall@20"),
        ("fold_in_ndcg@20", newcomers, "ndcg@20 of newcomers"),
        ("segment_ndcg@20", "segments", "ndcg@20 by users' features"),
    ):
        if name in report["metrics"]:
            spread = _interval(
                facts.get("quality", {}).get(path, {}), name.removeprefix("fold_in_").removeprefix("segment_")
            )
            ends = "" if spread is None else f"{spread['low']:.4f} .. {spread['high']:.4f}"
            found.append((said, f"{report['metrics'][name]:.4f}", ends))
    if savings := facts.get("savings"):
        less = against_fp32(savings["whole"]["times_smaller"])
        found.append(("vectors, index, scorer: bytes than in fp32", less, ""))
    if size := facts.get("artifact_bytes"):
        found.append(("artifact bytes", f"{size['size_bytes']:,}", ""))
    runs = facts.get("latency", [])
    if runs:
        found.append((_TIMED, f"{figure(min(run['p99_us'] for run in runs))} µs", ""))
    elif report["artifact"]:
        found.append((_TIMED, "not measured", ""))
    found += [(name, chosen[key], "") for name, key in _FORMS.items() if key in chosen]
    if "fold_in" in chosen:
        found.append(("newcomers", "by their history" if chosen["fold_in"] == "map" else "by popularity", ""))
    return element("dl", (_tile(*one) for one in found), class_="tiles")


def standing(report: dict[str, Any]) -> list[object]:
    """Set what ships beside retrieval and the simple models, as far as they were measured."""
    parts: list[object] = []
    quality = report["facts"].get("quality", {})
    rows = [
        ([said, *(_shown(quality[path], name) for name in _METRICS)], "chosen" if path == "shipped" else "")
        for path, said in _PATHS.items()
        if path in quality
    ]
    if rows:
        users = report["facts"]["users"]["gate"]
        parts.append(element("p", f"On {users:,} users who judge, with 95 % intervals:"))
        columns = (("answers of", "name"), *((name, "number") for name in _METRICS))
        parts.append(table("what ships beside the simple models", columns, rows))
    if report["artifact"] and not report["facts"].get("latency"):
        said = (
            "Latency of an answer: not measured, as no limit was given; ",
            element("code", "gnas-serve bench ARTIFACT"),
        )
        parts.append(element("p", *said, " measures it.", class_="note"))
    return parts


def interval_of(found: Mapping[str, float], *, signed: bool = False) -> str:
    """Write a value with the ends of its interval."""
    sign = "+" if signed else ""
    return f"{found['value']:{sign}.4f} ({found['low']:{sign}.4f} .. {found['high']:{sign}.4f})"


def _interval(path: Mapping[str, float], name: str) -> dict[str, float] | None:
    ends = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    return {end: path[key] for end, key in ends.items()} if all(key in path for key in ends.values()) else None


def _shown(path: Mapping[str, float], name: str) -> str:
    spread = _interval(path, name)  # reports of earlier versions have none of recall
    return f"{path[name]:.4f}" if spread is None else interval_of(spread)


def _tile(name: str, value: str, ends: str) -> Markup:
    return element(
        "div", element("dt", name), element("dd", value), element("dd", ends, class_="ends") if ends else None
    )
