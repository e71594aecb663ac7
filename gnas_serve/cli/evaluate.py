"""`gnas-serve evaluate`: the only command that touches the test part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from gnas_serve.artifact.store import stored_kind
from gnas_serve.cli.console import Output, OutputOption, diagnostics, emit, warn
from gnas_serve.cli.extras import need


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="CHECKPOINT|ARTIFACT", help="What to evaluate.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data it was made from.")],
    k: Annotated[int, typer.Option(min=1, max=1000, help="Length of the ranked lists.")] = 20,
    output: OutputOption = Output.text,
) -> None:
    """Score the held-out test part: all items ranked, training and validation items masked.

    A checkpoint is ranked exactly, from its scores; an artifact answers as its doors would. Where the items of the test
    part are drawn otherwise than those of validation, a warning says by how much.
    """
    need("search")
    from gnas_search.checkpoint import Checkpoint
    from gnas_search.data.interactions import DatasetConfig
    from gnas_search.data.splits import load_with_test
    from gnas_search.held_out import evaluate_artifact, evaluate_checkpoint
    from gnas_search.shift import popularity_shift
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.runtime.recommender import Recommender

    if stored_kind(model) == "artifact":
        recommender = Recommender.load(model)
        facts = Manifest.read(model, verify=False).data
        dataset, test = load_with_test(data, DatasetConfig.from_json(facts["config"]), maker="the artifact")
        with Progress(console=diagnostics(), transient=True) as progress:
            task = progress.add_task("asking for every test user", total=len(test.user_ids))
            report = evaluate_artifact(
                recommender, facts["fingerprint"], dataset, test, k=k, on_user=lambda: progress.advance(task)
            )
    else:
        checkpoint = Checkpoint.load(model)
        dataset, test = load_with_test(data, checkpoint.config, maker="the checkpoint")
        report = evaluate_checkpoint(checkpoint, dataset, test, k=k)
    shift = popularity_shift(dataset, test)
    if shift.is_large:
        warn(shift.message())
    result = {**report.to_json(), "shift": shift.to_json()}
    emit(result, _table(result, model.name), output)


_GROUPS = {
    "cold_users": "users with a short history",
    "warm_users": "users with a longer history",
    "head_items": "head items",
    "middle_items": "middle items",
    "tail_items": "tail items",
}


def _table(result: dict[str, Any], name: str) -> Table:
    table = Table(title=f"{name} on the test part", title_justify="left")
    for column in ("metric", "value", "95 % interval", "users"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    parts = [("", result)]
    if result["known_users"]["users"] != result["users"]:
        parts.append((", users known from training", result["known_users"]))
    # Where all users are alike, their group says nothing new.
    groups = {name: part for name, part in result["groups"].items() if part["users"] < result["users"]}
    parts += [(f", {_GROUPS[name]}", part) for name, part in groups.items()]
    for remark, part in parts:
        for metric, facts in part["metrics"].items():
            interval = f"{facts['low']:.4f} .. {facts['high']:.4f}"
            table.add_row(metric + remark, f"{facts['value']:.4f}", interval, str(part["users"]))
        table.add_section()
    for metric, value in result["exposure"].items():
        table.add_row(metric, f"{value:.4f}", "", str(result["users"]))
    return table
