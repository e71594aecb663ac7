"""Columns of a log and of what is added to it: written in the log's form, compared by value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from gnas_search.data.columns import read_ratings
from gnas_search.data.ids import encode_ids
from gnas_search.data.tables import Table

_WHOLE = r"^[+-]?[0-9]*$"


@dataclass(frozen=True)
class Joined:
    """One column of both.

    Attributes
    ----------
    own, later
        The values as they will be written: the log's and those that are added.
    own_key, later_key
        The same as they are compared, whatever their form: 3 and 3.0 are one rating.
    """

    own: pl.Series
    later: pl.Series
    own_key: pl.Series
    later_key: pl.Series


def join_ids(base: Table, column: str, later: Table, name: str, id_type: str) -> tuple[Joined, pl.Series]:
    """Give later ids the type of a log's: the doors, too, take integers as their decimal text.

    Returns
    -------
    joined
        Of a later id that has no form in the log, 0.
    odd
        Where that is so: it is text, and the log's are integers.

    Raises
    ------
    DataError
        If ids of either are unusable.
    """
    is_text = encode_ids(base, column, id_type).vocabulary.is_text
    ids = later.frame[name]
    odd = pl.repeat(False, later.frame.height, eager=True)
    if not is_text and not ids.dtype.is_float():
        texts = ids.cast(pl.String)
        odd = texts.cast(pl.Int64, strict=False).is_null() & (texts != "").fill_null(False)
        if odd.any():
            ids = texts.set(odd, "0")
    usable = later.frame.with_columns(ids.alias(name))
    encode_ids(replace(later, frame=usable), name, "text" if is_text else "integer")
    kind = pl.String if is_text else pl.Int64
    own_key, later_key = base.frame[column].cast(kind), ids.cast(kind)
    if base.typed:
        return Joined(own_key, later_key, own_key, later_key), odd
    return Joined(base.frame[column], later_key.cast(pl.String), own_key, later_key), odd


def join_ratings(base: Table, column: str, later: Table, name: str) -> Joined:
    """Give later ratings the form of a log's: whole numbers where all are whole, text in a file of text.

    Raises
    ------
    DataError
        If ratings of either are no numbers.
    """
    keys = [pl.Series(read_ratings(table, of)).fill_nan(None) for table, of in ((base, column), (later, name))]
    own, numbers = base.frame[column], later.frame[name].cast(pl.Float64, strict=False)
    if own.dtype == pl.String:
        texts = numbers.cast(pl.String)
        whole = bool(own.str.contains(_WHOLE).all())
        return Joined(own, texts.str.strip_suffix(".0") if whole else texts, *keys)
    if own.dtype.is_float():
        return Joined(own, numbers.cast(own.dtype), *keys)
    if own.dtype.is_integer():
        whole_numbers = numbers.cast(own.dtype, strict=False)
        if whole_numbers.cast(pl.Float64).equals(numbers, null_equal=True):
            return Joined(own, whole_numbers, *keys)
    return Joined(own.cast(pl.Float64), numbers, *keys)
