"""Kinds of events that are added to a log: which are taken, under which names, and what is left out of them."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from gnas_search.data.columns import read_events
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.tables import Table
from gnas_serve.errors import ConfigError, DataError, unknown_name
from gnas_serve.plain_text import MAX_LISTED, listed

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


def of_new(kinds: pl.Series, later: Table, base: Table, column: str, *, are_named: bool) -> list[str]:
    """Say which kinds a log has only now, for people; nothing where it had them all.

    Where nobody named them they are refused: a misspelt kind would be one of its own from then on, in every model that
    is made of the log.

    Parameters
    ----------
    are_named
        Whether it was said which kinds are taken.

    Raises
    ------
    DataError
        If there are any and they are not; it names them, and says how all that is to be kept is added.
    """
    had, _ = read_events(base, column)
    counts = {str(name): count for name, count in kinds.drop_nulls().value_counts().iter_rows()}
    new = sorted(set(counts) - set(had))
    if not new:
        return []
    told = f"{listed([f'{name} ({counts[name]:,})' for name in new])}; it has {listed(had)}"
    if are_named:
        return [f"events that {base.path.name} did not have: {told}"]
    raise DataError(
        f"{later.path}: events that {base.path.name} does not have: {told}",
        hint=_how_to_add({name: name if name in had else _meant(name, had) for name in sorted(counts)}, had),
        code="new_events",
    )


def _how_to_add(meant: Mapping[str, str], had: Sequence[str]) -> str:
    """Give the flags that add kinds under the names that are meant, as a shell reads them."""
    flags = [_flag(name, kind) for name, kind in meant.items()]
    more = f" and {len(flags) - MAX_LISTED} more" if len(flags) > MAX_LISTED else ""
    new = next((name for name, kind in meant.items() if name == kind and name not in had), None)
    else_as = "" if new is None else f" (adds {new} as a new kind; {_flag(new, had[0])} adds it as {had[0]})"
    shown = " ".join(flags[:MAX_LISTED])
    return f"name each kind that is to be added, the others are left out: {shown}{more}{else_as}"


def _meant(name: str, had: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(name, had, n=1, cutoff=0.7)), name)


def _flag(name: str, kind: str) -> str:
    return f"--event {shlex.quote(name if kind == name else f'{name}={kind}')}"
