"""Interactions from a feedback log as a file: JSON Lines, CSV or Parquet, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic_core import to_json

from gnas_serve.artifact.fresh_file import whole_file
from gnas_serve.artifact.store import storage_errors

if TYPE_CHECKING:
    from gnas_serve.feedback.event import FeedbackEvent
    from gnas_serve.feedback.survey import Survey

_ROWS_AT_ONCE = 1 << 17  # between the objects of Python and the columns of Parquet


def write_interactions(found: Survey, out: Path, *, served: bool = False) -> None:
    """Write the events of a log, in the form that the suffix of the file says.

    Parameters
    ----------
    found
        Of the log.
    out
        The file; its suffix is one of :data:`WRITERS`.
    served
        Add what each event has of the answer that it came from: its own id, the version of the model, the propensity.

    Raises
    ------
    StorageError
        If it cannot be written, or the log not be read: there is no file then.
    IntegrityError, FormatVersionError
        If the log cannot be read.
    """
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as stream:
            WRITERS[out.suffix](found, columns(found, served=served), stream)


def columns(found: Survey, *, served: bool) -> tuple[str, ...]:
    """Name the columns: a rating only where any event has a value."""
    rating = ("rating",) if found.has_values else ()
    return ("user_id", "item_id", "event", "timestamp", *rating, *(_SERVED if served else ()))


def _rows(found: Survey, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    value_of = [_VALUES[name] for name in names]
    for event in found.events():
        yield tuple(value(found, event) for value in value_of)


def _write_csv(found: Survey, names: tuple[str, ...], stream: BinaryIO) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(names)
    lines.writerows(_rows(found, names))
    text.detach()  # flushed, and left open


def _write_json_lines(found: Survey, names: tuple[str, ...], stream: BinaryIO) -> None:
    for row in _rows(found, names):
        stream.write(to_json(dict(zip(names, row, strict=True))) + b"\n")


def _write_parquet(found: Survey, names: tuple[str, ...], stream: BinaryIO) -> None:
    import polars as pl

    ids = {"user_id": found.users, "item_id": found.items}
    numbers = {"timestamp", "rating", "propensity"}
    schema: dict[str, Any] = {name: pl.Float64 if name in numbers else pl.String for name in names}
    schema |= {name: pl.String if kinds.is_text else pl.Int64 for name, kinds in ids.items()}
    rows, parts = _rows(found, names), []
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        parts.append(pl.DataFrame(some, schema=schema, orient="row"))
    pl.concat(parts).write_parquet(stream)


_SERVED = ("event_id", "model", "propensity")
_VALUES: dict[str, Callable[[Survey, FeedbackEvent], Any]] = {
    "user_id": lambda found, event: found.users.typed(event.user_id),
    "item_id": lambda found, event: found.items.typed(event.item_id),
    "event": lambda _, event: event.event,
    "timestamp": lambda _, event: float(event.timestamp),
    "rating": lambda _, event: event.value,
    "event_id": lambda _, event: event.event_id,
    "model": lambda _, event: event.model,
    "propensity": lambda _, event: event.propensity,
}

WRITERS: dict[str, Callable[[Survey, tuple[str, ...], BinaryIO], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
"""How each form is written, by the suffix of the file."""
