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
    from gnas_serve.feedback.survey import Survey

_ROWS_AT_ONCE = 1 << 17  # between the objects of Python and the columns of Parquet


def write_interactions(found: Survey, out: Path) -> None:
    """Write the events of a log, in the form that the suffix of the file says.

    Parameters
    ----------
    found
        Of the log.
    out
        The file; its suffix is one of :data:`WRITERS`.

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
            WRITERS[out.suffix](found, stream)


def columns(found: Survey) -> tuple[str, ...]:
    """Name the columns: a rating only where any event has a value."""
    return ("user_id", "item_id", "event", "timestamp", *(("rating",) if found.has_values else ()))


def _rows(found: Survey) -> Iterator[tuple[Any, ...]]:
    width = len(columns(found))
    for event in found.events():
        user, item = found.users.typed(event.user_id), found.items.typed(event.item_id)
        yield (user, item, event.event, float(event.timestamp), event.value)[:width]


def _write_csv(found: Survey, stream: BinaryIO) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns(found))
    lines.writerows(_rows(found))
    text.detach()  # flushed, and left open


def _write_json_lines(found: Survey, stream: BinaryIO) -> None:
    names = columns(found)
    for row in _rows(found):
        stream.write(to_json(dict(zip(names, row, strict=True))) + b"\n")


def _write_parquet(found: Survey, stream: BinaryIO) -> None:
    import polars as pl

    types = [pl.String if kinds.is_text else pl.Int64 for kinds in (found.users, found.items)]
    schema = dict(zip(columns(found), [*types, pl.String, pl.Float64, pl.Float64], strict=False))
    rows, parts = _rows(found), []
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        parts.append(pl.DataFrame(some, schema=schema, orient="row"))
    pl.concat(parts).write_parquet(stream)


WRITERS: dict[str, Callable[[Survey, BinaryIO], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
"""How each form is written, by the suffix of the file."""
