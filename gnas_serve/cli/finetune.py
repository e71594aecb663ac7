"""`gnas-serve finetune`: a checkpoint brought up to date on newer interactions, its embeddings frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from gnas_serve.cli import dataset_options as flags
from gnas_serve.cli.arguments import MAX_SEED, output_path
from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.cli.extras import need
from gnas_serve.cli.lineage import compared_line, finetuned_facts
from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import counted

if TYPE_CHECKING:
    from gnas_search.checkpoint import Checkpoint
    from gnas_search.finetuning import FineTuned


def finetune(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What to bring up to date.")],
    data: flags.DataArgument,
    out: Annotated[
        Path,
        typer.Option(metavar="PATH", parser=output_path, help="Folder of the checkpoint to make.", show_default=False),
    ],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the halves of users, and of the interval.")] = 0,
    user_column: flags.UserColumnOption = None,
    item_column: flags.ItemColumnOption = None,
    event_column: flags.EventColumnOption = None,
    rating_column: flags.RatingColumnOption = None,
    timestamp_column: flags.TimestampColumnOption = None,
    split_column: flags.SplitColumnOption = None,
    target_event: flags.TargetEventOption = None,
    min_rating: flags.MinRatingOption = None,
    split: flags.SplitOption = None,
    id_type: flags.IdTypeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Bring a checkpoint up to date on what DATA has that it has not learned from, without training.

    Embeddings and links stay. Histories, popularity and the weights of a blend follow, and `export` of the result
    trains its ranker on the fresh interactions. Users and items that the checkpoint does not know are left out.
    What is predicted (--target-event, --min-rating) is the checkpoint's, and need not be given again.
    """
    need("search")
    if out.exists():
        raise ConfigError(f"{out} already exists", hint="choose another output folder or remove it", code="exists")
    from gnas_search.checkpoint import Checkpoint
    from gnas_search.finetuning import finetune as fine_tuned
    from gnas_search.finetuning import newer_data

    old = Checkpoint.load(checkpoint)
    settings = flags.overrides(
        user_column=user_column,
        item_column=item_column,
        event_column=event_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        split_column=split_column,
        target_event=target_event,
        min_rating=min_rating,
        split=split,
        id_type=id_type,
    )
    dataset = newer_data(data, settings, old)
    for found in dataset.warnings:
        warn(found.message)
    made = fine_tuned(old, dataset, seed=seed)
    _say_what_is_odd(made)
    _say_if_few_judge(made.checkpoint, old, checkpoint)
    made.checkpoint.save(out)
    result = {
        "checkpoint": str(out),
        "model": made.checkpoint.name,
        "spec": made.checkpoint.spec,
        "seed": made.checkpoint.seed,
        "metrics": made.checkpoint.metrics,
        "missing": made.fresh.missing,
        "finetuned_from": made.checkpoint.finetuned_from,
    }
    emit(result, _table(result), output)


def _say_what_is_odd(made: FineTuned) -> None:
    for remark in made.remarks:
        warn(remark)
    left = made.fresh.left_out
    if left["interactions"]:
        warn(
            f"left out: {counted(left['interactions'], 'interaction')} of {counted(left['users'], 'user')} and "
            f"{counted(left['items'], 'item')} that the checkpoint does not know; train a new model to take them in"
        )
    if made.fresh.missing:
        chance = "the split by chance puts some" if made.checkpoint.policy == "random" else "they are gone, or"
        warn(
            f"{counted(made.fresh.missing, 'interaction')} that the checkpoint has learned from found neither in train "
            f"nor in validation of the data: {chance} in its test part, of which evaluate then says little"
        )
    _say_what_it_brought(made)


def _say_if_few_judge(made: Checkpoint, old: Checkpoint, path: Path) -> None:
    """Say what an export will leave out, and what keeps the content encoder: this is known before anybody exports."""
    from gnas_search.division import LEAST_JUDGES, divided_users

    judges, before = (len(divided_users(one).gate) for one in (made, old))
    if judges >= LEAST_JUDGES:
        return
    without = ""
    if made.item_attributes is not None:
        chain = old.finetuned_from is not None and before < LEAST_JUDGES
        again = "; where that has none, export it again with --content-from first" if chain else ""
        without = f", and ship no content encoder (or that of `--content-from ARTIFACT`, the artifact of {path}{again})"
    warn(
        f"{counted(judges, 'user')} with fresh interactions will judge the export, fewer than {LEAST_JUDGES}: it will "
        f"skip the gates that need labels{without}; wait for more"
    )


def _say_what_it_brought(made: FineTuned) -> None:
    compared = made.compared
    if compared is None:
        warn(
            "not compared with the checkpoint before: none of the fresh interactions by which that could be told is in "
            "the data's validation part"
        )
    elif compared.gain.value < 0:
        is_clear = compared.gain.high < 0
        than = "more" if is_clear else "no more"
        advice = "go on with that one, or train a new model" if is_clear else "it may be as good"
        warn(f"worse than the checkpoint before, by {than} than chance: {compared_line(compared.to_json())}; {advice}")


def _table(result: dict[str, Any]) -> Table:
    lineage = result["finetuned_from"]
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(result["metrics"].items()))
    facts = {"checkpoint": result["checkpoint"], "model": result["model"], **finetuned_facts(lineage)}
    facts["on all fresh users"] = metrics
    weights = lineage["weights"]
    for name, found in (weights["metrics"] if weights else {}).items():
        gain = found["gain"]
        facts[f"{name} held back"] = (
            f"{found['old']:.4f} with the old weights, {found['new']:.4f} with new ones: {gain['value']:+.4f} "
            f"({gain['low']:+.4f} to {gain['high']:+.4f}, {counted(weights['users'], 'user')})"
        )
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table
