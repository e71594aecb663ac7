"""From a data folder to checked, encoded interactions."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from gnas_search.data.columns import (
    MAX_RATING,
    PART_NAMES,
    TEST,
    read_events,
    read_parts,
    read_ratings,
    read_timestamps,
)
from gnas_search.data.features import SideTable, read_features
from gnas_search.data.fingerprint import fingerprint
from gnas_search.data.ids import EncodedIds, encode_ids
from gnas_search.data.interactions import DatasetConfig, DataWarning, Interactions
from gnas_search.data.tables import Table, find_table, read_table, require_table, shown
from gnas_serve.errors import ConfigError, DataError, DataMismatchError, unknown_name
from gnas_serve.plain_text import counted

CONFIG_FILE = "dataset.toml"
ID_TYPES = ("auto", "integer", "text")
SPLITS = ("auto", "leave-last-out", "random", "temporal")
SINGLE_EVENT = "interaction"
_MAX_SEED = 2**32 - 1


def read_config(path: Path, overrides: Mapping[str, object]) -> DatasetConfig:
    """Read how a data folder is to be read: ``dataset.toml`` beside the data, then flags, which win.

    Parameters
    ----------
    path
        The data folder; without ``dataset.toml`` the defaults hold.
    overrides
        Fields of :class:`DatasetConfig`; None means not given.

    Raises
    ------
    ConfigError
        If a key is unknown, a value of the wrong type, out of bounds or not one of those known; names file and key.
    """
    types = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(DatasetConfig).items()}
    file = path / CONFIG_FILE
    raw: dict[str, Any] = {}
    if file.is_file():
        try:
            raw = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError, OSError) as error:
            raise ConfigError(f"{file} cannot be read: {error}", hint="mend the file") from error
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, given in ((str(file), raw), ("flags", dict(overrides))):
        for name, value in given.items():
            if name not in types:
                problem = unknown_name("setting", name, types)
                raise ConfigError(f"{source}: {problem.message}", hint=problem.hint, code="unknown_setting")
            if value is not None:
                values[name] = _typed(source, name, value, types[name])
                origin[name] = source
    config = DatasetConfig(**values)
    for name, kind, known in (("split", "split", SPLITS), ("id_type", "id type", ID_TYPES)):
        if getattr(config, name) not in known:
            problem = unknown_name(kind, getattr(config, name), known)
            raise ConfigError(f"{origin[name]}: {name}: {problem.message}", hint=problem.hint, code=problem.code)
    meanings: dict[str, str] = {}
    for name in (f.name for f in fields(config) if f.name.endswith("_column")):
        column = getattr(config, name)
        if column in meanings:
            other = meanings[column]
            source = origin.get(name, origin.get(other, ""))  # one of the two is no default: the defaults differ
            raise ConfigError(
                f"{source}: {other} and {name}: column {column!r} is given two meanings",
                hint="name a different column for each",
            )
        meanings[column] = name
    return config


def read_interactions(path: Path, config: DatasetConfig, *, maker: str = "") -> Interactions:
    """Read, check and encode a data folder.

    Parameters
    ----------
    path
        Holds ``interactions.*`` and perhaps ``items.*`` and ``users.*``, each parquet, csv, tsv or jsonl.
    config
        Names of the columns, target event and so on.
    maker
        Where ``config`` is that of a study, checkpoint or artifact: which, for people.

    Raises
    ------
    DataError
        If a file is absent, unreadable or empty, a column absent, or a value unusable; names file and row.
    DataMismatchError
        If a column or the target event of ``maker`` is absent: it was made from other data.
    ConfigError
        If the target event does not occur.
    """
    table = require_table(path, "interactions")
    require_columns(table, config, maker)
    users = encode_ids(table, config.user_column, config.id_type)
    items = encode_ids(table, config.item_column, config.id_type)
    for kind, encoded in (("users", users), ("items", items)):
        if len(encoded.vocabulary) < 2:
            raise DataError(
                f"{table.path} holds interactions of only one of the {kind}", hint=f"give at least two {kind}"
            )
    present = set(table.frame.columns)
    events: tuple[str, ...] = (SINGLE_EVENT,)
    codes = np.zeros(table.frame.height, dtype=np.int16)
    if config.event_column in present:
        events, codes = read_events(table, config.event_column)
    parts = None
    if config.split == "auto" and config.split_column in present:
        parts = read_parts(table, config.split_column)
    timestamps = read_timestamps(table, config.timestamp_column) if config.timestamp_column in present else None
    ratings = read_ratings(table, config.rating_column) if config.rating_column in present else None

    warnings = _log_warnings(table, config, users, items, codes, parts)
    item_side = _side(path, "items", config.item_column, items, config, warnings)
    user_side = _side(path, "users", config.user_column, users, config, warnings)
    sides = {"items": item_side, "users": user_side}
    return Interactions(
        users=users.vocabulary,
        items=items.vocabulary,
        user_rows=users.rows,
        item_rows=items.rows,
        event_codes=codes,
        events=events,
        target_event=_target_event(maker, config, events, codes, parts),
        timestamps=timestamps,
        ratings=ratings,
        parts=parts,
        item_features=item_side.features if item_side else None,
        user_features=user_side.features if user_side else None,
        item_titles=item_side.titles if item_side else None,
        fingerprint=fingerprint(
            users=users.vocabulary,
            items=items.vocabulary,
            user_rows=users.rows,
            item_rows=items.rows,
            events=events,
            event_codes=codes,
            timestamps=timestamps,
            ratings=ratings,
            parts=parts,
            features={name: side.content for name, side in sides.items() if side},
        ),
        config=config,
        warnings=tuple(warnings),
        item_attributes=item_side.attributes if item_side else None,
        user_attributes=user_side.attributes if user_side else None,
    )


def _typed(source: str, name: str, value: object, accepted: tuple[type, ...]) -> object:
    accepts_whole = float in accepted and type(value) is int
    if type(value) not in accepted and not accepts_whole:
        wanted = " or ".join(kind.__name__ for kind in accepted if kind is not type(None))
        raise ConfigError(f"{source}: {name} is {shown(value)}, not of type {wanted}", hint="mend the value")
    problem = ""
    if isinstance(value, float) and not math.isfinite(value):
        problem = "not a finite number"
    elif isinstance(value, (int, float)) and name == "min_rating" and abs(value) > MAX_RATING:
        problem = "more than a rating can be"
    elif isinstance(value, int) and name == "split_seed" and value < 0:
        problem = "below 0"
    elif isinstance(value, int) and name == "split_seed" and value > _MAX_SEED:
        problem = f"above {_MAX_SEED}"
    if problem:
        raise ConfigError(f"{source}: {name} is {shown(value)}, {problem}", hint="give a number within bounds")
    if value == "":
        raise ConfigError(f"{source}: {name} is empty", hint="give a name, or leave it out")
    return float(value) if accepts_whole and isinstance(value, int) else value


def require_columns(table: Table, config: DatasetConfig, maker: str = "") -> None:
    """Refuse interactions without a column that they must have.

    Raises
    ------
    DataError
        If one is absent; it is a DataMismatchError where ``config`` is that of a ``maker``.
    """
    defaults = DatasetConfig()
    required = ["user_column", "item_column"]
    # An optional column that was named on purpose must be there: ignoring the wish would change the answer.
    optional = ("event_column", "rating_column", "timestamp_column", "split_column")
    required += [name for name in optional if getattr(config, name) != getattr(defaults, name)]
    if config.min_rating is not None and "rating_column" not in required:
        required.append("rating_column")
    for name in required:
        column = getattr(config, name)
        if column not in table.frame.columns:
            if maker:
                raise _made_from_other_data(maker, name, column, f"{table.path} has {', '.join(table.frame.columns)}")
            raise DataError(
                f"{table.path} has no column {column!r}; found: {', '.join(table.frame.columns)}",
                hint=f"name the right one with --{name.replace('_', '-')} or {name} in {CONFIG_FILE}",
            )


def _made_from_other_data(maker: str, setting: str, value: str, found: str) -> DataMismatchError:
    return DataMismatchError(
        f"{maker} was made from other data: its {setting} is {value!r}, {found}",
        hint="give the data it was made from, or start anew",
    )


def _target_event(
    maker: str,
    config: DatasetConfig,
    events: tuple[str, ...],
    codes: npt.NDArray[np.int16],
    parts: npt.NDArray[np.int8] | None,
) -> str | None:
    if config.target_event is not None:
        if config.target_event not in events:
            if maker:
                raise _made_from_other_data(maker, "target_event", config.target_event, f"here are {', '.join(events)}")
            raise unknown_name("event", config.target_event, events)
        return config.target_event
    if parts is not None:
        tested = np.unique(codes[parts == TEST])
        if len(tested) == 1:
            return events[int(tested[0])]
    return events[0] if len(events) == 1 else None


def _side(
    folder: Path, stem: str, id_column: str, ids: EncodedIds, config: DatasetConfig, warnings: list[DataWarning]
) -> SideTable | None:
    """Read ``items.*`` or ``users.*`` where it exists."""
    path = find_table(folder, stem)
    if path is None:
        return None
    side = read_features(read_table(path), id_column, ids.vocabulary, config.id_type, of_items=stem == "items")
    integer = "Int" in ids.width and "Int" in side.id_width
    if integer and ids.width != side.id_width:
        message = f"{id_column} is {ids.width} in the interactions and {side.id_width} in {path.name}: read as one"
        warnings.append(DataWarning("id_widths", 1, message))
    warnings.extend(side.warnings)
    return side


def _log_warnings(
    table: Table,
    config: DatasetConfig,
    users: EncodedIds,
    items: EncodedIds,
    codes: npt.NDArray[np.int16],
    parts: npt.NDArray[np.int8] | None,
) -> list[DataWarning]:
    warnings = []
    known = {getattr(config, f.name) for f in fields(config) if f.name.endswith("_column")}
    unknown = [name for name in table.frame.columns if name not in known]
    if unknown:
        message = f"{table.path.name}: unknown columns are ignored: {', '.join(unknown)}"
        warnings.append(DataWarning("unknown_columns", len(unknown), message))
    keys = users.rows.astype(np.int64) * len(items.vocabulary) + items.rows
    keys = keys * (int(codes.max()) + 1) + codes
    if parts is not None:  # a repetition across parts is another matter: the split counts it
        keys = keys * len(PART_NAMES) + parts
    keys.sort()
    repeated = int(np.count_nonzero(keys[1:] == keys[:-1]))
    if repeated:
        message = f"{counted(repeated, 'interaction', 'repeat')} an earlier one (same user, item and event): merged"
        warnings.append(DataWarning("duplicates", repeated, message))
    return warnings
