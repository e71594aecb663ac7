"""The typed columns of the logs: numbers, times, events and a given split, checked value by value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.tables import Table, shown
from gnas_serve.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2
PART_NAMES = ("train", "valid", "test")
_PARTS = {"train": TRAIN, "valid": VALID, "val": VALID, "validation": VALID, "test": TEST}
MAX_RATING = 3.4e38
"""Either way: ratings are kept in single precision."""
_PER_SECOND = {"ms": 1e3, "us": 1e6}
_DAY_S = 86_400.0
_DATE_FIRST = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}"  # polars guesses at other orders: 02/01/2024 may be either
_MAX_TIME_S = 9.2e12  # either way of 1970: what 64 bits of microseconds hold


def read_ratings(table: Table, column: str) -> npt.NDArray[np.float32]:
    """Read a rating column; a missing rating is NaN, for events such as views have none.

    Raises
    ------
    DataError
        If a value is not a finite number, or beyond :data:`MAX_RATING`.
    """
    series = _empty_as_missing(table.frame[column])
    numbers = _numbers(table, column, series)
    large = (numbers.abs() > MAX_RATING).fill_null(False)
    if large.any():
        row = int(large.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, more than a rating can be",
            hint=f"mend or drop the {int(large.sum())} such rows",
        )
    return numbers.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def read_timestamps(table: Table, column: str) -> npt.NDArray[np.float64]:
    """Read a time column: numbers of any unit as they are, dates and ISO 8601 text as seconds since 1970 (UTC).

    Text that is no number begins with the date, as 2024-01-31: in other orders day and month could be either.

    Raises
    ------
    DataError
        If a value is missing, is neither a finite number nor a time, or is a time beyond 64 bits of microseconds.
    """
    series = _empty_as_missing(table.frame[column])
    _refuse_missing(table, column, series.is_null(), "fill or drop these rows, or drop the column")
    if series.dtype == pl.String and series.cast(pl.Float64, strict=False).null_count():
        series = _iso_times(table, column, series)
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return _seconds(table, column, series)
    return _numbers(table, column, series).to_numpy()


def read_events(table: Table, column: str) -> tuple[tuple[str, ...], npt.NDArray[np.int16]]:
    """Read an event column.

    Returns
    -------
    events
        Names, ascending.
    codes : (n,) int16
        Positions in ``events``.

    Raises
    ------
    DataError
        If a value is missing, the column is not of names, or there are more kinds than events can have.
    """
    series = table.frame[column]
    series = _names(table, column, series)
    _refuse_missing(table, column, series.is_null() | (series == ""), "name the event of every row")
    distinct = series.unique().sort()
    if len(distinct) > np.iinfo(np.int16).max:
        raise DataError(
            f"{table.path}: {column} holds {len(distinct)} different events", hint="is this the column of the events?"
        )
    codes = series.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int16)
    return tuple(distinct.to_list()), codes


def read_parts(table: Table, column: str) -> npt.NDArray[np.int8]:
    """Read a given split: ``train``, ``valid`` (also ``val``, ``validation``) or ``test`` in every row, in any case.

    Returns
    -------
    (n,) int8
        0 train, 1 valid, 2 test.

    Raises
    ------
    DataError
        If a value is another one or missing.
    """
    series = _names(table, column, table.frame[column])
    parts = series.str.to_lowercase().replace_strict(
        list(_PARTS), list(_PARTS.values()), default=None, return_dtype=pl.Int8
    )
    wrong = parts.is_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, not one of {', '.join(_PARTS)}",
            hint="mend it, or ignore the column with --split temporal, random or leave-last-out",
        )
    return parts.to_numpy()


def to_unit_range(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide by the power of two that leaves the largest size between 0.5 and 1.

    The division is exact, and no sum or difference of what it leaves can overflow: what does not depend on the unit
    is the same afterwards.
    """
    exponent = int(np.frexp(np.nanmax(np.abs(values)))[1])
    scaled: npt.NDArray[np.float64] = np.ldexp(values, -exponent)
    return scaled


def _seconds(table: Table, column: str, series: pl.Series) -> npt.NDArray[np.float64]:
    """Give dates and times as seconds since 1970, in whole microseconds.

    From the numbers behind them: a cast of a time that polars cannot show ends the process, not the command.
    """
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_unit == "ns":
        series = series.cast(pl.Datetime("us"))  # towards the coarser unit nothing is out of range
    physical = series.to_physical().to_numpy()
    if isinstance(series.dtype, pl.Datetime):
        seconds: npt.NDArray[np.float64] = physical / _PER_SECOND[series.dtype.time_unit]
    else:
        seconds = physical * _DAY_S
    wrong = np.flatnonzero(np.abs(seconds) > _MAX_TIME_S)
    if len(wrong):
        raise DataError(
            f"{table.path}: {column} in row {int(wrong[0]) + 1} is a time {seconds[wrong[0]]:.3g} seconds from 1970, "
            "out of range",
            hint=f"mend or drop the {len(wrong)} such rows: is the unit of the column right?",
        )
    return seconds


def _empty_as_missing(series: pl.Series) -> pl.Series:
    """Read a quoted nothing as an unquoted one."""
    return series.set(series == "", None) if series.dtype == pl.String else series


def _names(table: Table, column: str, series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if not (isinstance(dtype, (pl.String, pl.Categorical, pl.Enum, pl.Null)) or dtype.is_integer()):
        raise DataError(f"{table.path}: {column} holds {dtype} values", hint="give names, as text")
    return series.cast(pl.String)


def _refuse_missing(table: Table, column: str, missing: pl.Series, hint: str) -> None:
    if missing.any():
        raise DataError(
            f"{table.path}: {column} is missing in {int(missing.sum())} of {len(missing)} rows, "
            f"first in row {int(missing.arg_true()[0]) + 1}",
            hint=hint,
        )


def _numbers(table: Table, column: str, series: pl.Series) -> pl.Series:
    if not (series.dtype.is_numeric() or series.dtype in {pl.String, pl.Null}):
        raise DataError(f"{table.path}: {column} holds {series.dtype} values", hint="give numbers")
    numbers = series.cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & series.is_not_null()) | (numbers.is_nan() | numbers.is_infinite()).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, not a finite number",
            hint=f"mend or drop the {int(wrong.sum())} such rows",
        )
    return numbers


def _iso_times(table: Table, column: str, series: pl.Series) -> pl.Series:
    try:
        times = series.str.to_datetime(time_unit="us", strict=False)
    except pl.exceptions.ComputeError:  # no format fits even the first value
        times = pl.Series([None] * len(series), dtype=pl.Datetime("us"))
    wrong = times.is_null() | ~series.str.contains(_DATE_FIRST)
    if wrong.any():
        numeric = series.cast(pl.Float64, strict=False).is_not_null()
        if int(numeric.sum()) > int(wrong.len() - wrong.sum()):
            wrong = ~numeric  # most are numbers: the odd ones out are the others
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, neither a number nor an ISO 8601 time",
            hint=f"mend or drop the {int(wrong.sum())} such rows; a time begins with its date, as 2024-01-31",
        )
    return times
