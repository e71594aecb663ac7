"""The ``feedback`` commands: what servers have logged, looked at and handed to the next training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gnas_serve.cli.arguments import output_path
from gnas_serve.cli.console import Output, OutputOption, emit, warn
from gnas_serve.cli.extras import need
from gnas_serve.errors import ConfigError, DataError
from gnas_serve.plain_text import counted

if TYPE_CHECKING:
    from gnas_serve.feedback.survey import Survey

app = typer.Typer(no_args_is_help=True)

LogArgument = Annotated[Path, typer.Argument(metavar="LOG", help="Folder of a feedback log (GNAS_FEEDBACK).")]


@app.command()
def export(
    log: LogArgument,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            parser=output_path,
            help="File to make, e.g. FOLDER/interactions.jsonl; .csv and .parquet, too.",
            show_default=False,
        ),
    ],
    served: Annotated[
        bool,
        typer.Option(
            "--served", help="Add event_id, model and propensity: which version was shown, to judge a canary by."
        ),
    ] = False,
    output: OutputOption = Output.text,
) -> None:
    """Write what was logged as interactions that `data validate` and `train` read: each event once, a value as rating.

    The log may be written meanwhile: what comes later is left for the next time.
    """
    from gnas_serve.cli.interactions_file import WRITERS, write_interactions

    if out.suffix not in WRITERS:
        raise ConfigError(f"{out}: unknown form {out.suffix!r}", hint=f"end its name with one of {', '.join(WRITERS)}")
    if out.suffix == ".parquet":
        need("search")
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} already exists", hint="choose another file or remove it", code="exists")
    found = _look(log)
    if not found.num_events:
        raise DataError(f"{log} holds no events yet", hint="export it when there is feedback")
    _warn_of_ids(found, out)
    write_interactions(found, out, served=served)
    result = {
        "log": str(log),
        "path": str(out),
        "events": found.num_events,
        "kinds": found.kinds,
        "duplicates": found.records - found.num_events,
        "damaged": found.damaged,
    }
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items())
    emit(result, f"{out}: {counted(found.num_events, 'interaction')} ({kinds}), {_times(found)}", output)


@app.command()
def status(log: LogArgument, output: OutputOption = Output.text) -> None:
    """Say what a feedback log holds: segments, events, bytes, times, and what of it is damaged."""
    found = _look(log)
    if found.torn_bytes:
        warn(
            f"{log}: {found.torn_bytes} bytes of an append that is under way or was interrupted; nobody was told of it"
        )
    result = {
        "log": str(log),
        "segments": len(found.segments),
        "size_bytes": found.size_bytes,
        "records": found.records,
        "events": found.num_events,
        "kinds": found.kinds,
        "first": found.first,
        "last": found.last,
        "damaged": found.damaged,
        "torn_bytes": found.torn_bytes,
    }
    table = Table(title=str(log), title_justify="left", show_header=False, show_edge=False)
    rows = [("segments", f"{len(found.segments):,}"), ("bytes", f"{found.size_bytes:,}")]
    rows += [("records", f"{found.records:,}"), ("events, each once", f"{found.num_events:,}")]
    rows += [(f"event {kind}", f"{count:,}") for kind, count in found.kinds.items()]
    rows += [("time", _times(found)), ("damaged lines", f"{found.damaged:,}"), ("torn bytes", f"{found.torn_bytes:,}")]
    for row in rows:
        table.add_row(*row)
    emit(result, table, output)


def _look(log: Path) -> Survey:
    from gnas_serve.feedback.survey import survey

    found = survey(log)
    if found.damaged:
        warn(f"{log}: damaged lines passed over: {found.damaged:,}; all others are whole")
    return found


def _warn_of_ids(found: Survey, out: Path) -> None:
    for name, kinds in (("user_id", found.users), ("item_id", found.items)):
        if kinds.is_text and kinds.integers:
            warn(f"{name}: {kinds.integers:,} were sent as numbers beside others as text: all are written as text")
        if out.suffix == ".csv" and kinds.is_text and kinds.integers + kinds.decimals:
            warn(f"{name}: text that looks like numbers, which {out.name} cannot tell apart: .jsonl and .parquet can")


def _times(found: Survey) -> str:
    if found.first is None or found.last is None:
        return "no times"
    return f"{_date(found.first)} to {_date(found.last)}"


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a year that no calendar has
        return f"{seconds:g} s"
