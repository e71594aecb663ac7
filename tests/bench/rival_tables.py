"""The tables of ``rivals.py``: medians over the seeds, and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """Write what one split gave as markdown."""
    counts = found["interactions"]
    load = " / ".join(f"{value:.1f}" for value in found["load"])
    lines = [
        f"### {found['split']} split: {found['users']} users x {found['items']} items, "
        f"{counts['train']:,} train / {counts['valid']:,} validation / {counts['test']:,} test",
        "",
        f"Load of the machine during the run (least / median / most): {load}.",
        "",
        *_quality(found),
        "",
        *_reached(found["reached"]),
    ]
    return "\n".join(lines)


def _quality(found: dict[str, Any]) -> list[str]:
    lines = [
        "| model | recall@20 | ndcg@20 | ndcg against verdict | tuning s | final fit s | seconds against verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(name for one in found["ours"] for name in one["models"]))
    searches = [one["search_s"] for one in found["ours"]]
    whole = {name: _models(found, name) for name in names}
    verdict_ndcg = statistics.median(model["ndcg"] for model in whole["verdict"])
    verdict_s = statistics.median(searches) + statistics.median(model["train_s"] for model in whole["verdict"])

    def add(
        title: str, recall: Sequence[float], ndcg: Sequence[float], tuning: Sequence[float], fit: Sequence[float]
    ) -> None:
        total = statistics.median(tuning) + statistics.median(fit)
        lines.append(
            f"| {title} | {_spread(recall)} | {_spread(ndcg)} | {statistics.median(ndcg) / verdict_ndcg:.3f} "
            f"| {_seconds(tuning)} | {_seconds(fit)} | {total / verdict_s:.2f} |"
        )

    for name, models in whole.items():
        columns = [[model[key] for model in models] for key in ("recall", "ndcg", "train_s")]
        missing = f" ({len(models)} of {len(searches)} seeds)" if len(models) < len(searches) else ""
        add(f"gnas-serve, {name}{missing}", columns[0], columns[1], searches, columns[2])
    for name, one in found["rivals"].items():
        add(name, one["recall"], one["ndcg"], [one["tune_s"]], one["fit_s"])
    lines.append("")
    lines += [
        f"- {name}: {_settings(one['settings'])}; best of {one['tried']}, validation ndcg@20 {one['valid_ndcg']:.4f}"
        for name, one in found["rivals"].items()
    ]
    for place, one in enumerate(found["ours"]):
        verdict = one["models"]["verdict"]
        model = f"{_plain(verdict['model'])}; validation ndcg@20 {verdict['valid_ndcg']:.4f}"
        lines.append(f"- gnas-serve, verdict of search {place + 1}: {model}")
    return lines


def _models(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one["models"][name] for one in found["ours"] if name in one["models"]]


def _reached(reached: Sequence[dict[str, Any]]) -> list[str]:
    if not reached:
        return []
    lines = [
        "| LightGCN's | its validation ndcg@20 | after s, of its command (of its loop) | seed | first model as good "
        "| after s, of the search (of that model) | ratio of commands (of models) | that model's test ndcg@20 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in reached:
        run, first = line["rival_run"], line["first"]
        start = (
            f"| {run['name']} | {run['valid_ndcg']:.4f} | {run['command_s']:.1f} ({run['best_s']:.1f}) | {line['seed']}"
        )
        if first is None:
            lines.append(f"{start} | none | | | |")
            continue
        lines.append(
            f"{start} | {_plain(line['model'])} | {first['command_s']:.1f} ({first['model_s']:.2f}) "
            f"| {run['command_s'] / first['command_s']:.0f} ({run['best_s'] / first['model_s']:.0f}) "
            f"| {line['ndcg']:.4f} |"
        )
    return lines


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.4f}"
    return middle if max(values) == min(values) else f"{middle} ({min(values):.4f} .. {max(values):.4f})"


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f}"


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _plain(model: str) -> str:
    return model.replace(" | ", "; ")
