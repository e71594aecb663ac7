"""The ``data`` commands: make, check, describe and add to interaction data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from gnas_serve.cli import dataset_options as options
from gnas_serve.cli.arguments import MAX_SEED, output_path
from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.cli.extras import need
from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(no_args_is_help=True)

_SHOWN_DIGITS = 12


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(metavar="OUT", parser=output_path, help="Folder to make.", show_default=False)],
    users: Annotated[int, typer.Option("--users", help="Number of users.")] = 2000,
    items: Annotated[int, typer.Option("--items", help="Number of items.")] = 1200,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Equal seeds give equal data.")] = 0,
    output: OutputOption = Output.text,
) -> None:
    """Make the embedded sample: an online shop's views, favourites and purchases over half a year."""
    need("search")
    from gnas_search.data.sample import write_sample

    result = write_sample(out, num_users=users, num_items=items, seed=seed)
    events = ", ".join(counted(count, event) for event, count in result["events"].items())
    text = (
        f"{result['path']}: {counted(result['users'], 'user')}, {counted(result['items'], 'item')}, "
        f"{counted(result['interactions'], 'interaction')} ({events})"
    )
    emit(result, text, output)


@app.command()
def validate(
    data: options.DataArgument,
    user_column: options.UserColumnOption = None,
    item_column: options.ItemColumnOption = None,
    event_column: options.EventColumnOption = None,
    rating_column: options.RatingColumnOption = None,
    timestamp_column: options.TimestampColumnOption = None,
    split_column: options.SplitColumnOption = None,
    target_event: options.TargetEventOption = None,
    min_rating: options.MinRatingOption = None,
    split: options.SplitOption = None,
    id_type: options.IdTypeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Check that a data folder can be used: exit 0, with warnings if any, or 3 and what is wrong where."""
    flags = options.overrides(
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
    facts = _facts(data, flags)
    for problem in facts["problems"]:
        warn(problem["message"])
    count = len(facts["problems"])
    verdict = "valid" if not count else f"valid, with {counted(count, 'warning')}"
    text = (
        f"{data}: {verdict} ({counted(facts['users'], 'user')}, {counted(facts['items'], 'item')}, "
        f"{counted(facts['interactions'], 'interaction')}, split {facts['split']['policy']})"
    )
    result = {"valid": True, "path": str(data), "fingerprint": facts["fingerprint"], "warnings": facts["problems"]}
    emit(result, text, output)


@app.command()
def describe(
    data: options.DataArgument,
    user_column: options.UserColumnOption = None,
    item_column: options.ItemColumnOption = None,
    event_column: options.EventColumnOption = None,
    rating_column: options.RatingColumnOption = None,
    timestamp_column: options.TimestampColumnOption = None,
    split_column: options.SplitColumnOption = None,
    target_event: options.TargetEventOption = None,
    min_rating: options.MinRatingOption = None,
    split: options.SplitOption = None,
    id_type: options.IdTypeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Show counts, density, degree skew, time span, split and problems of a data folder."""
    flags = options.overrides(
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
    facts = _facts(data, flags)
    emit({"path": str(data), **facts}, _tables(data, facts), output)


@app.command()
def append(
    data: options.DataArgument,
    more: Annotated[
        Path,
        typer.Argument(metavar="MORE", help="File of `feedback export`, or a folder with one.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", parser=output_path, help="Folder of the data to make.", show_default=False)
    ],
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=KIND]",
            help="Take this kind of event, as that KIND of DATA or under its own name, also a new one; others are left "
            "out. Without, all are taken, and a kind that DATA does not have is refused.",
            show_default=False,
        ),
    ] = None,
    left_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=output_path,
            help="Leave out rows whose ids are text where DATA has integers, and write them to this file; "
            "else they are refused.",
            show_default=False,
        ),
    ] = None,
    user_column: options.UserColumnOption = None,
    item_column: options.ItemColumnOption = None,
    event_column: options.EventColumnOption = None,
    rating_column: options.RatingColumnOption = None,
    timestamp_column: options.TimestampColumnOption = None,
    split_column: options.SplitColumnOption = None,
    id_type: options.IdTypeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Make a data folder of DATA and of what came later, in the columns, types and format that DATA has."""
    need("search")
    from gnas_search.data.addition import add_interactions
    from gnas_search.data.readers import read_config

    flags = options.overrides(
        user_column=user_column,
        item_column=item_column,
        event_column=event_column,
        rating_column=rating_column,
        timestamp_column=timestamp_column,
        split_column=split_column,
        id_type=id_type,
    )
    config, events = read_config(data, flags), _event_names(event)
    done = add_interactions(data, config, more, out, events=events, left_out=left_out)
    for note in done.notes:
        warn(note)
    others = {"given again": done.repeated, "left out": done.left_out + sum(done.dropped.values())}
    more_rows = "".join(f", {count:,} {what}" for what, count in others.items() if count)
    text = (
        f"{done.path}: {counted(done.added, 'interaction')} of {more} added to those of {data} "
        f"({done.present:,} {'was' if done.present == 1 else 'were'} there{more_rows}), {done.interactions:,} now"
    )
    emit({**asdict(done), "path": str(done.path)}, text, output)


def _event_names(given: list[str] | None) -> dict[str, str] | None:
    """Read ``--event purchase --event view=look``: by what is added, the name that the data has for it."""
    if given is None:
        return None
    names = {}
    for one in given:
        name, _, kind = one.partition("=")
        if not name or ("=" in one and not kind):
            raise ConfigError(f"--event {one!r} is no name and no NAME=KIND", hint="e.g. --event purchase=buy")
        names[name] = kind or name
    return names


def _facts(data: Path, flags: dict[str, Any]) -> dict[str, Any]:
    need("search")
    from gnas_search.data.describe import describe as describe_data
    from gnas_search.data.readers import read_config, read_interactions
    from gnas_search.data.splits import split as split_data

    interactions = read_interactions(data, read_config(data, flags))
    dataset, test = split_data(interactions)
    return describe_data(interactions, dataset, test)


def _tables(data: Path, facts: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [_table(str(data), ("", ""), _summary(facts))]
    skew = []
    for side, values in facts["degrees"].items():
        shown = [f"{value:,.0f}" for name, value in values.items() if name not in {"mean", "gini"}][:-1]
        skew.append(
            (side, f"{values['mean']:,.1f}", *shown, f"{values['gini']:.2f}", f"{values['top_1_percent_share']:.1%}")
        )
    headings = ("interactions per", "mean", "min", "p10", "p50", "p90", "p99", "max", "Gini", "top 1 % hold")
    parts.append(_table("Degree skew", headings, [(row[0][:-1], *row[1:]) for row in skew]))
    part_sizes = facts["split"]
    rows = [(name, f"{part_sizes[name]:,}", f"{part_sizes[f'{name}_users']:,}") for name in ("train", "valid", "test")]
    parts.append(_table(f"Split: {part_sizes['policy']}", ("part", "pairs", "users"), rows))
    problems = [(problem["code"], f"{problem['count']:,}", problem["message"]) for problem in facts["problems"]]
    parts.append(_table("Problems", ("", "count", ""), problems) if problems else "No problems found.")
    parts += [f"Note: {note['message']}" for note in facts["notes"]]
    return Group(*parts)


def _summary(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, f"{facts[name]:,}") for name in ("users", "items", "interactions")]
    rows.append(("pairs of user and item", f"{facts['pairs']:,}"))
    rows.append(("density", f"{facts['density']:.4%}"))
    rows += [(f"event {event}", f"{count:,}") for event, count in facts["events"].items()]
    rows.append(("target event", facts["target_event"] or "all"))
    time, ratings = facts["time"], facts["ratings"]
    if time is not None:
        dated = time["first_date"] is not None
        span = (
            f"{time['first_date'][:10]} to {time['last_date'][:10]}"
            if dated
            else f"{time['first']:g} to {time['last']:g}"
        )
        rows.append(("time", f"{span} ({time['days']:.0f} days)" if dated else span))
    if ratings is not None:
        rows.append(("ratings", f"{ratings['min']:g} to {ratings['max']:g}, mean {ratings['mean']:.2f}"))
    for side, names in facts["features"].items():
        if names:
            rows.append(
                (f"features of {side}", f"{len(names)}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}")
            )
    rows.append(("fingerprint", facts["fingerprint"][:_SHOWN_DIGITS]))
    return rows


def _table(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(headings), show_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position == 0 or not heading or len(headings) == 2 else "right")
    for row in rows:
        table.add_row(*row)
    return table
