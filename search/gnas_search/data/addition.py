"""Interactions that come later, such as exported feedback, added to a data folder in the form that it has."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gnas_search.data.addition_columns import Joined, join_ids, join_ratings
from gnas_search.data.addition_events import added_events, of_dropped, of_new
from gnas_search.data.addition_odd_ids import OddIds
from gnas_search.data.addition_times import join_times
from gnas_search.data.addition_writing import joined_bytes
from gnas_search.data.columns import PART_NAMES, TRAIN
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.readers import CONFIG_FILE, require_columns
from gnas_search.data.tables import FORMATS, Table, find_table, read_table, require_table
from gnas_serve.artifact.store import atomic_folder
from gnas_serve.errors import ConfigError, DataError

LATER = DatasetConfig()
"""The names of the columns that are added: those that ``feedback export`` writes."""


@dataclass(frozen=True)
class Addition:
    """What became of the interactions that were to be added.

    Attributes
    ----------
    path
        The folder that was made.
    added
        How many are new in it.
    present
        How many different ones were in the data already.
    repeated
        How many more rows told one of these, new or present, again.
    dropped
        How many rows of each kind of event were not asked for.
    left_out
        How many rows of others have an id of another type than the data's.
    interactions
        How many there are now.
    notes
        What the data has no place for, or has only now: a line each, for people.
    """

    path: Path
    added: int
    present: int
    repeated: int
    dropped: dict[str, int]
    left_out: int
    interactions: int
    notes: tuple[str, ...]


def add_interactions(
    data: Path,
    config: DatasetConfig,
    more: Path,
    out: Path,
    *,
    events: Mapping[str, str] | None = None,
    left_out: Path | None = None,
) -> Addition:
    """Make a data folder of another one and of later interactions, which take its columns, types and file format.

    Parameters
    ----------
    data
        The folder, which stays as it is.
    config
        How it is read.
    more
        A file as ``feedback export`` makes it, or a folder that holds one as ``interactions.*``.
    out
        The folder to make: the interactions of both, and what else of ``data`` is read.
    events
        Which kinds of ``more`` are taken, each with its name in ``data``; None takes all, and none that ``data`` does
        not have.
    left_out
        The file to make of those rows of ``more`` whose ids have no form in ``data``, if there are any; None refuses
        them.

    Raises
    ------
    DataError
        If either is unusable, or an id or time of ``more`` has no form in the columns of ``data``; or an event is of a
        kind that it does not have, and ``events`` does not name it (``new_events``).
    ConfigError
        If ``out`` or ``left_out`` exists, or that is in the folder to be made, or ``events`` names a kind that does not
        occur, or is absent where it has to choose one.
    StorageError
        If it cannot be written.
    """
    if left_out is not None and left_out.absolute().is_relative_to(out.absolute()):
        raise ConfigError(f"--left-out {left_out} is in {out}, which is made at the end", hint="name a file beside it")
    base = require_table(data, "interactions")
    require_columns(base, config)
    later = _later(more)
    columns, notes, odd = {}, [], OddIds(later, base)
    taken = added_events(later, events, base, config.event_column)
    for column, name in ((config.user_column, LATER.user_column), (config.item_column, LATER.item_column)):
        columns[column], without_form = join_ids(base, column, later, name, config.id_type)
        odd.add(name, without_form & taken.kinds.is_not_null())
    if left_out is None:
        odd.refuse()
    kinds = taken.kinds.set(odd.rows, None)
    notes += [*of_dropped(taken.dropped, later), *odd.notes(left_out)]
    if config.event_column in base.frame.columns:
        own = base.frame[config.event_column].cast(pl.String)
        columns[config.event_column] = Joined(own, kinds, own, kinds)
        notes += of_new(kinds, later, base, config.event_column, are_named=events is not None)
    if config.timestamp_column in base.frame.columns:
        columns[config.timestamp_column] = join_times(base, config.timestamp_column, later)
    elif LATER.timestamp_column in later.frame.columns:
        notes.append(f"{base.path.name} has no column of times: those of {later.path.name} are left out")
    if LATER.rating_column in later.frame.columns:
        if config.rating_column in base.frame.columns:
            columns[config.rating_column] = join_ratings(base, config.rating_column, later, LATER.rating_column)
        else:
            notes.append(f"{base.path.name} has no column of ratings: those of {later.path.name} are left out")
    frame = base.frame.with_columns(joined.own.alias(name) for name, joined in columns.items())
    told, new_rows = _taken_rows(list(columns.values()), kinds)
    new = pl.DataFrame([joined.later.alias(name) for name, joined in columns.items()])[new_rows]
    if config.split_column in frame.columns:
        new = new.with_columns(pl.lit(PART_NAMES[TRAIN]).alias(config.split_column))
        notes.append(f"{base.path.name} has a column {config.split_column!r}: what is added is train")
    content = joined_bytes(base, frame, new)
    with odd.written(left_out), atomic_folder(out) as folder:
        (folder / base.path.name).write_bytes(content)
        others = (find_table(data, "items"), find_table(data, "users"), data / CONFIG_FILE)
        for path in others:
            if path is not None and path.is_file():
                shutil.copyfile(path, folder / path.name)
    return Addition(
        path=out,
        added=new.height,
        present=told - new.height,
        repeated=kinds.len() - kinds.null_count() - told,
        dropped=taken.dropped,
        left_out=int(odd.rows.sum()),
        interactions=frame.height + new.height,
        notes=tuple(notes),
    )


def _later(more: Path) -> Table:
    if more.is_dir():
        table = require_table(more, "interactions")
    elif more.is_file() and more.suffix[1:] in FORMATS:
        table = read_table(more)
    else:
        what = "is of no form that is read" if more.is_file() else "does not exist"
        raise DataError(f"{more} {what}", hint=f"give a file that ends with .{', .'.join(FORMATS)}")
    for name in (LATER.user_column, LATER.item_column):
        if name not in table.frame.columns:
            raise DataError(
                f"{table.path} has no column {name!r}; found: {', '.join(table.frame.columns)}",
                hint="what is added has the names of `feedback export`, whatever those of the data are",
            )
    return table


def _taken_rows(columns: Sequence[Joined], kinds: pl.Series) -> tuple[int, pl.Series]:
    """Count the different later rows that are taken, and find those of them that the log does not have."""
    names = [str(place) for place in range(len(columns))]  # beside one another, whatever the log calls them
    there = pl.DataFrame([column.own_key.alias(name) for name, column in zip(names, columns, strict=True)])
    later = pl.DataFrame([column.later_key.alias(name) for name, column in zip(names, columns, strict=True)])
    rows = later.with_row_index("row").filter(kinds.is_not_null()).unique(names, keep="first", maintain_order=True)
    return rows.height, rows.join(there, on=names, how="anti", nulls_equal=True, maintain_order="left")["row"]
