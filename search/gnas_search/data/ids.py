"""From an id column to a vocabulary and rows, without one Python object per interaction."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.tables import Table, first_other_and_text, shown
from gnas_serve.errors import DataError
from gnas_serve.vocabulary import MAX_ID_CHARACTERS, Vocabulary

_INTEGER = r"^[+-]?[0-9]+$"
_DECIMAL = r"^[+-]?[0-9]*\.[0-9]+$|^[+-]?[0-9]+\.$"
_PLAIN_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_PADDED = r"^[+-]?0[0-9]+$|^\+[0-9]+$|^-0$"
_NO_TEXT = r"^[+-]?[0-9.]+([eE][+-]?[0-9]+)?$|^true$|^false$"  # what a value of JSON that is no text may look like
_CODE_LENGTH = 8
_AS_TEXT = 'or set id_type = "text" (--id-type text) where they are meant as text'


@dataclass(frozen=True)
class EncodedIds:
    """One id column.

    Attributes
    ----------
    vocabulary
        Its distinct ids.
    rows : (n,) int32
        Row in ``vocabulary`` of each value.
    width : str
        The type in the file, e.g. ``"Int32"``, ``"String"``.
    """

    vocabulary: Vocabulary
    rows: npt.NDArray[np.int32]
    width: str


def encode_ids(table: Table, column: str, id_type: str, *, like: Vocabulary | None = None) -> EncodedIds:
    """Encode an id column.

    Typed files say themselves whether ids are integers or text. In CSV and TSV, ids are integers where every
    value is one as a computer writes it (no leading zero, no plus sign) and fits into 64 bits, else text. A text
    column in which some values look like integers and others do not is refused, for it is nearly always an integer
    column with a stray value; unless all values have one length of 8 or more, as hashes, ISBNs and other codes do.
    007 is 7 where integers are asked for by name, and nowhere else.

    Parameters
    ----------
    table
        The file.
    column
        Name of the column; must exist.
    id_type
        ``"auto"``, ``"integer"`` or ``"text"``.
    like
        The ids that these belong to: a file without types follows theirs.

    Raises
    ------
    DataError
        If ids are missing, mixed, decimal, too long, out of range, or of another type than ``like``.
    """
    series = table.frame[column]
    dtype = series.dtype
    if dtype.is_float() or dtype.is_decimal():
        raise DataError(f"{table.path}: {column} holds decimal numbers", hint="cast the ids to integers or to text")
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    if not (series.dtype.is_integer() or series.dtype in {pl.String, pl.Null}):
        raise DataError(f"{table.path}: {column} holds {dtype} values", hint="ids are integers or text")
    _refuse_missing(table, column, series)
    wanted = id_type
    if wanted == "auto" and not table.typed and like is not None:
        wanted = "text" if like.is_text else "integer"
        if not like.is_text:
            _refuse_padded(table, column, series)
    series = _settle(table, column, series, wanted)
    if like is not None and like.is_text != (series.dtype == pl.String):
        kinds = ("integers", "text") if like.is_text else ("text", "integers")
        raise DataError(
            f"{table.path}: {column} holds {kinds[0]} where the interactions hold {kinds[1]}",
            hint="write the ids in both files as one type",
        )
    _refuse_long(table, column, series)
    width = str(dtype) if table.typed else "text file"
    return _encode_text(series, width) if series.dtype == pl.String else _encode_integers(series, width)


def _refuse_missing(table: Table, column: str, series: pl.Series) -> None:
    missing = series.is_null()
    if series.dtype == pl.String:
        missing |= series.fill_null("x") == ""
    count = int(missing.sum())
    if count:
        first = int(missing.arg_true()[0]) + 1
        raise DataError(
            f"{table.path}: {column} is missing in {count} of {len(series)} rows, first in row {first}",
            hint="fill or drop these rows",
        )


def _refuse_long(table: Table, column: str, series: pl.Series) -> None:
    """Refuse text that nobody could ask for: the doors take no longer ids."""
    if series.dtype != pl.String:
        return
    lengths = series.str.len_chars()
    long = lengths > MAX_ID_CHARACTERS
    if long.any():
        row = int(long.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} has {lengths[row]} characters, {MAX_ID_CHARACTERS} at most",
            hint=f"shorten the {int(long.sum())} such ids, for example to a hash of each",
        )


def _refuse_padded(table: Table, column: str, series: pl.Series) -> None:
    """Refuse what another id may be meant by than the integer that it reads as: 007 beside 7 of the interactions."""
    padded = series.str.contains(_PADDED)
    if padded.any():
        row = int(padded.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, where the interactions hold integers",
            hint='write the ids in both files alike, or set id_type = "integer" (--id-type integer) where 007 is 7',
        )


def _settle(table: Table, column: str, series: pl.Series, id_type: str) -> pl.Series:
    """Give the ids as Int64 or as String."""
    if series.dtype.is_integer():
        if id_type == "text":
            return series.cast(pl.String)
        return _to_integers(table, column, series)
    if id_type == "text":
        return series
    if id_type == "integer":
        return _to_integers(table, column, series)
    distinct = series.unique()
    if not table.typed:
        if distinct.str.contains(_PLAIN_INTEGER).all() and not distinct.cast(pl.Int64, strict=False).null_count():
            return series.cast(pl.Int64)
        _refuse_mixed(table, column, series, distinct)
    elif table.path.suffix == ".jsonl" and distinct.str.contains(_NO_TEXT).any():
        found = first_other_and_text(table.path, column)
        if found is not None:
            (other_row, other), (text_row, text) = found
            raise _mixed(table, column, (other_row, json.dumps(other)), (text_row, repr(text)))
    return series


def _refuse_mixed(table: Table, column: str, series: pl.Series, distinct: pl.Series) -> None:
    integers = distinct.str.contains(_INTEGER)
    lengths = distinct.str.len_bytes()
    codes = lengths.n_unique() == 1 and lengths[0] >= _CODE_LENGTH
    if integers.any() and not integers.all() and not codes:
        looks = series.str.contains(_INTEGER)
        at = [int(mask.arg_true()[0]) for mask in (looks, ~looks)]
        raise _mixed(table, column, (at[0] + 1, series[at[0]]), (at[1] + 1, repr(series[at[1]])))
    if distinct.str.contains(_DECIMAL).all():
        raise DataError(
            f"{table.path}: {column} holds decimal numbers, in row 1 {series[0]}",
            hint=f"write the ids as integers, {_AS_TEXT}",
        )


def _mixed(table: Table, column: str, number: tuple[int, str], text: tuple[int, str]) -> DataError:
    kind = "yes/no values" if number[1] in ("true", "false") else "numbers" if "." in number[1] else "integers"
    return DataError(
        f"{table.path}: {column} mixes {kind} and text: row {number[0]} holds {number[1]}, "
        f"row {text[0]} holds {text[1]}",
        hint=f"mend the odd rows, {_AS_TEXT}" if table.path.suffix != ".jsonl" else "write all ids as one type",
    )


def _to_integers(table: Table, column: str, series: pl.Series) -> pl.Series:
    numbers = series.cast(pl.Int64, strict=False)
    wrong = numbers.is_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{table.path}: {column} in row {row + 1} is {shown(series[row])}, not a 64-bit integer",
            hint=f"mend the id, {_AS_TEXT}",
        )
    return numbers


def _encode_integers(series: pl.Series, width: str) -> EncodedIds:
    values, rows = np.unique(series.to_numpy(), return_inverse=True)
    return EncodedIds(Vocabulary(values.astype(np.int64)), rows.astype(np.int32), width)


def _encode_text(series: pl.Series, width: str) -> EncodedIds:
    distinct = series.unique().sort()  # polars orders text by its UTF-8 bytes, as the vocabulary does
    rows = series.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int32)
    offsets = np.zeros(len(distinct) + 1, dtype=np.int64)
    np.cumsum(distinct.str.len_bytes().to_numpy(), out=offsets[1:])
    blob = np.frombuffer("".join(distinct.to_list()).encode(), dtype=np.uint8)
    return EncodedIds(Vocabulary(blob, offsets), rows, width)
