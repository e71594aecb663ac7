"""Kinds of events that are added to a log: which are taken, under which names, and what is left out of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from gnas_search.data.columns import read_events
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.tables import Table
from gnas_serve.errors import ConfigError, DataError, unknown_name

_COLUMN = DatasetConfig().event_column


@dataclass(frozen=True)
class AddedEvents:
    """The events of what is added.

    Attributes
    ----------
    kinds
        Of each row, by its name in the log; null where it is not taken.
    dropped
        How many rows of each kind are not taken.
    """

    kinds: pl.Series
    dropped: dict[str, int]


def added_events(later: Table, events: Mapping[str, str] | None, base: Table, column: str) -> AddedEvents:
    """Choose and rename the events of what is added.

    Parameters
    ----------
    later
        What is added.
    events
        Which kinds are taken, each with its name in the log; None takes all as they are.
    base, column
        The log, and its events where it has any.

    Raises
    ------
    DataError
        If what is added names no events, and has to.
    ConfigError
        If ``events`` names a kind that does not occur, or is absent where it has to choose one.
    """
    if _COLUMN not in later.frame.columns:
        if events is not None or column in base.frame.columns:
            raise DataError(f"{later.path} has no column {_COLUMN!r}", hint="name the event of every row")
        return AddedEvents(pl.Series(["interaction"] * later.frame.height), {})
    names, _ = read_events(later, _COLUMN)
    given = later.frame[_COLUMN].cast(pl.String)
    if events is None:
        if len(names) > 1 and column not in base.frame.columns:
            raise ConfigError(
                f"{base.path} has no column of events, {later.path.name} has {', '.join(names)}",
                hint=f"choose what is added, the others are left out: --event {names[0]}",
            )
        return AddedEvents(given, {})
    for name in events:
        if name not in names:
            raise unknown_name("event", name, names)
    kinds = given.replace_strict(list(events), list(events.values()), default=None, return_dtype=pl.String)
    left = given.filter(kinds.is_null()).value_counts(sort=True)
    return AddedEvents(kinds, dict(left.iter_rows()))


def of_dropped(dropped: Mapping[str, int], later: Table) -> list[str]:
    """Say what is left out, for people; nothing where nothing is."""
    if not dropped:
        return []
    told = ", ".join(f"{count:,} {name}" for name, count in dropped.items())
    return [f"left out, as --event names other kinds: {told}; they stay in {later.path.name} alone"]


def of_new(kinds: pl.Series, base: Table, column: str, *, are_renamed: bool) -> list[str]:
    """Say which kinds a log has only now, for people; nothing where it had them all.

    Parameters
    ----------
    are_renamed
        Whether the kinds were chosen and named already; else how to is said, for all that are to be kept.
    """
    had, _ = read_events(base, column)
    counts = {str(name): count for name, count in kinds.drop_nulls().value_counts().iter_rows()}
    new = sorted(set(counts) - set(had))
    if not new:
        return []
    told = ", ".join(f"{name} ({counts[name]:,})" for name in new)
    said = f"events that {base.path.name} did not have: {told}; it has {', '.join(had)}"
    flags = " ".join(f"--event {name}={_meant(name, had) if name in new else name}" for name in sorted(counts))
    return [said if are_renamed else f"{said}. To add them under its names: {flags}"]


def _meant(name: str, had: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(name, had, n=1, cutoff=0.7)), "ITS")
