"""Times that are added to a log: seconds since 1970, in the form that the log's own times have."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.addition_columns import Joined
from gnas_search.data.columns import read_timestamps
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.tables import Table, shown
from gnas_serve.errors import DataError

_COLUMN = DatasetConfig().timestamp_column
_UNITS = (1, 10**3, 10**6, 10**9)  # how many of them are a second
_PLAUSIBLE_S = (2.5e8, 4.1e9)  # 1978 to 2099: the ranges of the units lie apart
_SHOWN_S = (-62_135_596_800, 253_402_300_800)  # the years 1 to 9999, which alone every form of a time can show
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_PER_DAY_S = 86_400
_DATE_LENGTH = len("2024-01-31")
_ZONE = re.compile(r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)\Z", re.IGNORECASE)


def join_times(base: Table, column: str, later: Table) -> Joined:
    """Give later times the form of those in a log: its unit, its type, or text.

    Parameters
    ----------
    base
        The log.
    column
        Of its times.
    later
        Has times in seconds since 1970, or dates.

    Raises
    ------
    DataError
        If times are missing, or those of the log are in no unit that is known, or have no form for a later one,
        or later ones are outside the years 1 to 9999.
    """
    if _COLUMN not in later.frame.columns:
        raise DataError(f"{later.path} has no column {_COLUMN!r}, {base.path} has times", hint="add it")
    own = read_timestamps(base, column)
    seconds = read_timestamps(later, _COLUMN)
    micros = _micros(later, seconds)
    kind = base.frame[column].dtype
    if kind == pl.Date:
        return _same(base.frame[column], pl.Series((micros // (_PER_DAY_S * 10**6)).astype(np.int32)).cast(pl.Date))
    if isinstance(kind, pl.Datetime):
        return _same(base.frame[column], pl.Series(_whole(later, micros, _PER_SECOND[kind.time_unit])).cast(kind))
    is_text = kind == pl.String
    if is_text and base.frame[column].cast(pl.Float64, strict=False).null_count():
        texts = _like(base.frame[column][0], micros)
        return Joined(base.frame[column], texts, pl.Series(np.round(own * 1e6).astype(np.int64)), pl.Series(micros))
    unit = _unit(base, column, own)
    if kind.is_integer() or (is_text and bool(base.frame[column].str.contains(r"^\s*[+-]?[0-9]+\s*$").all())):
        times = pl.Series(_whole(later, micros, unit))
    else:
        times = pl.Series(seconds * unit)
    if is_text:  # a number beyond 64 bits is none that is added
        numbers = base.frame[column].cast(times.dtype, strict=False)
        return Joined(base.frame[column], times.cast(pl.String), numbers, times)
    return _same(base.frame[column].cast(times.dtype), times)


def _same(own: pl.Series, later: pl.Series) -> Joined:
    return Joined(own, later, own, later)


def _unit(base: Table, column: str, own: npt.NDArray[np.float64]) -> int:
    latest = float(own.max())
    for unit in _UNITS:
        if _PLAUSIBLE_S[0] <= latest / unit <= _PLAUSIBLE_S[1]:
            return unit
    raise DataError(
        f"{base.path}: {column} is at most {latest:g}, no time since 1970 in s, ms, us or ns",
        hint="write its times as seconds since 1970 or as dates: which of the two came first is not known otherwise",
    )


def _micros(later: Table, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Give times in whole microseconds, and refuse those that are none: milliseconds that were taken for seconds."""
    wrong = (seconds < _SHOWN_S[0]) | (seconds >= _SHOWN_S[1])
    _refuse(later, wrong, "outside the years 1 to 9999")
    micros: npt.NDArray[np.int64] = np.round(seconds * 1e6).astype(np.int64)
    return micros


def _whole(later: Table, micros: npt.NDArray[np.int64], unit: int) -> npt.NDArray[np.int64]:
    """Give times as whole numbers of a unit, the fraction dropped."""
    if unit <= 10**6:
        return micros // (10**6 // unit)
    by = unit // 10**6
    most = np.iinfo(np.int64).max // by
    _refuse(later, (micros < -most) | (micros > most), "too far from 1970 for the nanoseconds of the data")
    return micros * by


def _refuse(later: Table, wrong: npt.NDArray[np.bool_], why: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(
            f"{later.path}: {_COLUMN} in row {int(rows[0]) + 1} is {shown(later.frame[_COLUMN][int(rows[0])])}, {why}",
            hint=f"mend or drop the {len(rows)} such rows; times that are numbers are seconds since 1970",
        )


def _like(text: str, micros: npt.NDArray[np.int64]) -> pl.Series:
    """Write times in ISO 8601 so that they are read together with one of a log: with its mark between date and time.

    With a zone where it has one, which is UTC here: a column either has zones or has none.
    """
    time = text.strip()[_DATE_LENGTH:]
    mark, zone = " " if time.startswith(" ") else "T", "Z" if _ZONE.search(time) else ""
    fraction = "%.6f" if "." in time or bool((micros % 10**6).any()) else ""
    return pl.Series(micros).cast(pl.Datetime("us")).dt.strftime(f"%Y-%m-%d{mark}%H:%M:%S{fraction}{zone}")
