"""Times that are added to a log: seconds since 1970, in the form that the log's own times have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.columns import read_timestamps
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.tables import Table
from gnas_serve.errors import DataError

_COLUMN = DatasetConfig().timestamp_column
_UNITS = (1, 10**3, 10**6, 10**9)  # how many of them are a second
_PLAUSIBLE_S = (2.5e8, 4.1e9)  # 1978 to 2099: the ranges of the units lie apart
_SHOWN_S = (-6.2e10, 2.5e11)  # years 1 to 9999, which alone have a form as ISO 8601 text
_PER_DAY_S = 86_400


def join_times(base: Table, frame: pl.DataFrame, column: str, later: Table) -> tuple[pl.DataFrame, pl.Series]:
    """Give later times the form of those in a log: its unit, its type, or text.

    Parameters
    ----------
    base
        The log.
    frame
        Its rows as they will be written.
    column
        Of its times.
    later
        Has times in seconds since 1970, or dates.

    Returns
    -------
    frame
        Its column of times rewritten where it is text that is no number: all as ISO 8601, in UTC.
    times
        The later ones.

    Raises
    ------
    DataError
        If times are missing, or those of the log are in no unit that is known, or have no form for a later one.
    """
    if _COLUMN not in later.frame.columns:
        raise DataError(f"{later.path} has no column {_COLUMN!r}, {base.path} has times", hint="add it")
    own = read_timestamps(base, column)
    seconds = read_timestamps(later, _COLUMN)
    kind = base.frame[column].dtype
    if kind == pl.Date:
        return frame, pl.Series(np.floor(seconds / _PER_DAY_S).astype(np.int32)).cast(pl.Date)
    if isinstance(kind, pl.Datetime):
        micros = pl.Series(np.round(seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", kind.time_zone))
        return frame.with_columns(pl.col(column).cast(micros.dtype)), micros
    is_text = kind == pl.String
    if is_text and base.frame[column].cast(pl.Float64, strict=False).null_count():
        return frame.with_columns(_iso(base, own).alias(column)), _iso(later, seconds)
    values = seconds * _unit(base, column, own)
    whole = kind.is_integer() or (is_text and bool(base.frame[column].str.contains(r"^\s*[+-]?[0-9]+\s*$").all()))
    times = pl.Series(np.floor(values).astype(np.int64)) if whole else pl.Series(values)
    if is_text:
        return frame, times.cast(pl.String)
    return frame.with_columns(pl.col(column).cast(times.dtype)), times


def _unit(base: Table, column: str, own: npt.NDArray[np.float64]) -> int:
    latest = float(own.max())
    for unit in _UNITS:
        if _PLAUSIBLE_S[0] <= latest / unit <= _PLAUSIBLE_S[1]:
            return unit
    raise DataError(
        f"{base.path}: {column} is at most {latest:g}, no time since 1970 in s, ms, us or ns",
        hint="write its times as seconds since 1970 or as dates: which of the two came first is not known otherwise",
    )


def _iso(table: Table, seconds: npt.NDArray[np.float64]) -> pl.Series:
    wrong = np.flatnonzero((seconds < _SHOWN_S[0]) | (seconds > _SHOWN_S[1]))
    if len(wrong):
        raise DataError(
            f"{table.path}: row {int(wrong[0]) + 1} is at {seconds[wrong[0]]:g} s from 1970, which no calendar has",
            hint=f"mend or drop the {len(wrong)} such rows",
        )
    micros = pl.Series(np.round(seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us"))
    return micros.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
