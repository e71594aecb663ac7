"""Attributes of items and users: from typed columns to codes and words, as they are stored and served, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.interactions import DataWarning
from gnas_serve.runtime.attribute_columns import UNKNOWN, Column, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.vocabulary import Vocabulary

MAX_WORD_BYTES = 64 << 20
"""Of the distinct texts of a column: with more it is prose, which nobody filters by."""

_ROW, _WORD = "row", "word"


def encode_attributes(frame: pl.DataFrame, kind: str = "items") -> tuple[Attributes | None, list[DataWarning]]:
    """Encode typed columns.

    An empty text is unknown; the order of a list, and what it has twice, is not kept.

    Parameters
    ----------
    frame
        Columns of Float64, String or List(String), a row per item or user; null is unknown.
    kind
        Of what, for the warning: ``"items"`` or ``"users"``.

    Returns
    -------
    attributes
        None where no column is left.
    warnings
        Of columns that are left out: their distinct texts take more than 64 MB.
    """
    columns: dict[str, Column] = {}
    too_large = []
    for series in frame:
        column = _encoded(series)
        if column is None:
            too_large.append(series.name)
        else:
            columns[series.name] = column
    warnings = []
    if too_large:
        message = (
            f"{kind}: no attribute is made of columns whose distinct texts take more than {MAX_WORD_BYTES >> 20} MB: "
            + ", ".join(too_large)
        )
        warnings.append(DataWarning("attributes_too_large", len(too_large), message))
    return (Attributes(columns, frame.height) if columns else None), warnings


def updated_attributes(
    old: Attributes | None, new: Attributes | None, rows: npt.NDArray[np.int64], count: int, kind: str = "items"
) -> tuple[Attributes | None, list[DataWarning]]:
    """Bring attributes up to date, column by column: of an item of the newer data they say what this says.

    Parameters
    ----------
    old
        Of a model's items, or its users.
    new
        Of the newer data's.
    rows : (m,) int64
        Of the newer data's items among the model's, -1 where they are not.
    count
        How many the model has.
    kind
        As of :func:`encode_attributes`.

    Returns
    -------
    attributes
        Those of the newer data, then those that it does not have. An item that is not in it keeps its old value where
        the column was of the same kind.
    warnings
        As of :func:`encode_attributes`.
    """
    if new is None:
        return old, []
    known = np.flatnonzero(rows >= 0)
    places = np.full(count, -1, dtype=np.int64)
    places[rows[known]] = known
    at, is_new = pl.Series(places), pl.Series(places >= 0)
    before = pl.DataFrame() if old is None else _frame(old)
    columns = []
    for series in _frame(new).select(pl.all().gather(at.set(at < 0, None))):
        is_same = series.name in before.columns and before[series.name].dtype == series.dtype
        columns.append(series.zip_with(is_new, before[series.name]) if is_same else series)
    newer = {series.name for series in columns}
    older = (series for series in before if series.name not in newer)
    return encode_attributes(pl.DataFrame([*columns, *older]), kind)


def _encoded(series: pl.Series) -> Column | None:
    if series.dtype == pl.Float64:
        return NumberColumn(np.ascontiguousarray(series.to_numpy(), dtype=np.float64))
    if series.dtype == pl.String:
        coded = _coded(series)
        return None if coded is None else TextColumn(*coded)
    # An empty list explodes to a row as an unknown one does: it is known to have no word.
    listed = series.alias(_WORD).to_frame().with_row_index(_ROW).filter(pl.col(_WORD).list.len().fill_null(1) > 0)
    exploded = listed.explode(_WORD).with_columns(pl.col(_WORD).replace("", None))
    coded = _coded(exploded[_WORD])
    if coded is None:
        return None
    codes, words = coded
    keys = np.sort(exploded[_ROW].to_numpy().astype(np.int64) * (len(words) + 1) + codes - UNKNOWN)
    # Not np.unique: its hash table is a hundred times slower here.
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    rows, members = np.divmod(keys, len(words) + 1)
    offsets = np.zeros(len(series) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(series)), out=offsets[1:])
    return WordsColumn(offsets, (members + UNKNOWN).astype(np.int32), words)


def _coded(series: pl.Series) -> tuple[npt.NDArray[np.int32], Vocabulary] | None:
    """Give texts as places among the distinct ones; None where these are too long together."""
    # Ranks and distinct texts have one order, that of their UTF-8; to look each text up would take ten times as long.
    codes = series.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
    somewhere = np.zeros(int(codes.max(initial=UNKNOWN)) + 1, dtype=np.int64)
    known = np.flatnonzero(codes != UNKNOWN)
    somewhere[codes[known]] = known
    words = series.gather(somewhere)
    if int(words.str.len_bytes().sum()) > MAX_WORD_BYTES:
        return None
    return codes.astype(np.int32), _vocabulary(words)


def _vocabulary(words: pl.Series) -> Vocabulary:
    offsets = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(words.str.len_bytes().to_numpy(), out=offsets[1:])
    return Vocabulary(np.frombuffer("".join(words.to_list()).encode(), dtype=np.uint8), offsets)


def _frame(attributes: Attributes) -> pl.DataFrame:
    """Give typed columns that :func:`encode_attributes` encodes to just these attributes."""
    return pl.DataFrame([_decoded(name, column) for name, column in attributes.columns.items()])


def _decoded(name: str, column: Column) -> pl.Series:
    if isinstance(column, NumberColumn):
        return pl.Series(name, column.values).fill_nan(None)
    words = pl.Series(column.words.ids(range(len(column.words))), dtype=pl.String)
    codes = pl.Series(np.asarray(column.codes, dtype=np.int64))
    texts = words.gather(codes.set(codes == UNKNOWN, None)).alias(name)
    if isinstance(column, TextColumn):
        return texts
    counts = np.diff(column.offsets)
    rows = np.repeat(np.arange(len(counts)), counts)
    lists = pl.DataFrame({_ROW: rows, _WORD: texts}).group_by(_ROW, maintain_order=True).agg(pl.col(_WORD))[_WORD]
    empty = pl.Series([[]], dtype=pl.List(pl.String))
    places = np.where(counts > 0, np.cumsum(counts > 0), 0)
    return pl.concat([empty, lists]).gather(places).alias(name)
