"""Features of items and users: from the columns of ``items.*`` and ``users.*`` to one numeric table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_search.data.columns import to_unit_range
from gnas_search.data.ids import encode_ids
from gnas_search.data.interactions import DataWarning, FeatureTable
from gnas_search.data.tables import Table, shown
from gnas_serve.errors import DataError
from gnas_serve.plain_text import counted
from gnas_serve.vocabulary import Vocabulary

MAX_CATEGORIES = 64
TITLE_COLUMNS = ("title", "name")
DELIMITERS = ("|", ";", ",", " ")
"""Tried in this order on texts that are too many to be categories as a whole."""
_ROWS_PER_CATEGORY = 2  # a category must be shared: fewer rows than this per value and it is free text
_MICROSECONDS = 1e6

_ROW, _WORD = "row", "word"  # of our own tables of words: a column of the file may have any name

Columns = tuple[list[str], list[npt.NDArray[np.float32]]]


@dataclass(frozen=True)
class SideTable:
    """``items.*`` or ``users.*``, aligned to the ids of the logs.

    Attributes
    ----------
    features
        None where no column is usable.
    titles
        One text per id, ``""`` where it has none; None without such a column.
    attributes
        The columns as typed values, rows by row of the ids, null where nothing is known; the title as it is written.
        Of users those alone that many can share, see :func:`_shared`. None without any.
    content
        The ids as text and the columns as typed values, rows by ascending id: what the fingerprint is taken of.
    id_width
        Type of the id column in the file.
    """

    features: FeatureTable | None
    titles: tuple[str, ...] | None
    attributes: pl.DataFrame | None
    content: pl.DataFrame
    id_width: str
    warnings: tuple[DataWarning, ...]


def read_features(table: Table, id_column: str, ids: Vocabulary, id_type: str, *, of_items: bool) -> SideTable:
    """Encode the columns of one file.

    Numbers (also numbers written as text, and times) are standardised; yes/no becomes 0 / 1; text with few distinct
    values becomes one column per value, text or lists that combine few words one per word (delimited by ``|``, ``;``,
    ``,`` or blanks); other text and identifiers are ignored with a warning. Constant columns are dropped.

    Parameters
    ----------
    table
        The file.
    id_column
        Its id column.
    ids
        The ids of the logs, which the result is aligned to; ids without a row get zeros.
    id_type
        As configured.
    of_items
        Take ``title`` or ``name`` for display, and all columns as attributes.

    Raises
    ------
    DataError
        If the id column is absent, an id occurs twice or is of another type than in the logs, or a number is NaN
        or infinite.
    """
    path, frame = table.path, table.frame
    if id_column not in frame.columns:
        raise DataError(
            f"{path} has no column {id_column!r}; found: {', '.join(frame.columns)}",
            hint="rename the id column to the one of the interactions",
        )
    encoded = encode_ids(table, id_column, id_type, like=ids)
    _refuse_repeats(table, id_column, encoded.rows)
    others = [name for name in frame.columns if name != id_column]
    ignored = [name for name in others if not _is_usable(frame[name].dtype)]
    content = pl.DataFrame([_typed(table, frame[name]) for name in others if name not in ignored])

    kind = path.stem
    file_rows, id_rows = _align(encoded.vocabulary, encoded.rows, ids)
    warnings = []
    if unused := len(encoded.rows) - len(file_rows):
        message = f"{counted(unused, kind[:-1])} of {path.name} without any interaction: ignored"
        warnings.append(DataWarning(f"{kind}_without_interactions", unused, message))
    if absent := len(ids) - len(file_rows):
        message = f"{counted(absent, kind[:-1])} of the interactions without a row in {path.name}: features 0"
        warnings.append(DataWarning(f"{kind}_without_features", absent, message))

    title = next((name for name in TITLE_COLUMNS if of_items and name in content.columns), None)
    if title is not None and frame[title].dtype.is_nested():
        title = None  # a list is a feature, not a display text
    names: list[str] = []
    columns: list[npt.NDArray[np.float32]] = []
    known = content[file_rows] if content.width else content
    for name in known.columns:
        if name == title:
            continue
        more = _encode(known[name])
        if more is None:
            ignored.append(name)
            continue
        names += more[0]
        columns += more[1]
    if ignored:
        message = f"{path.name}: neither numbers nor categories, no network or ranker reads them: {', '.join(ignored)}"
        warnings.append(DataWarning("text_columns_ignored", len(ignored), message))

    features = None
    if columns:
        values = np.zeros((len(ids), len(columns)), dtype=np.float32)
        values[id_rows] = np.stack(columns, axis=1)
        features = FeatureTable(tuple(names), values)
    titles = None if title is None else _titles(frame[title][file_rows], id_rows, len(ids))
    as_written = content if title is None else content.with_columns(_nonempty(frame[title].cast(pl.String)))
    if not of_items:
        as_written = content.select(_shared(known))
    attributes = _scattered(as_written, file_rows, id_rows, len(ids)) if as_written.width else None
    by_id = pl.DataFrame([frame[id_column].cast(pl.String), *content])[np.argsort(encoded.rows)]
    return SideTable(features, titles, attributes, by_id, encoded.width, tuple(warnings))


def _refuse_repeats(table: Table, id_column: str, rows: npt.NDArray[np.int32]) -> None:
    order = np.argsort(rows, kind="stable")
    repeated = order[1:][rows[order][1:] == rows[order][:-1]]
    if len(repeated):
        first = int(repeated.min())
        raise DataError(
            f"{table.path}: {id_column} {shown(table.frame[id_column][first])} in row {first + 1} occurs before",
            hint=f"keep one row per id; {len(repeated)} rows are too many",
        )


def _align(
    vocabulary: Vocabulary, rows: npt.NDArray[np.int32], ids: Vocabulary
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Match the rows of the file with the rows of ``ids``: equally long, only those that are in both."""
    keys = vocabulary.values if not vocabulary.is_text else vocabulary.ids(range(len(vocabulary)))
    at = ids.rows(keys)[rows]
    file_rows = np.flatnonzero(at >= 0)
    return file_rows, at[file_rows]


def _titles(series: pl.Series, id_rows: npt.NDArray[np.int64], count: int) -> tuple[str, ...]:
    titles = [""] * count
    for row, text in zip(id_rows.tolist(), series.cast(pl.String).fill_null("").to_list(), strict=True):
        titles[row] = text
    return tuple(titles)


def _is_usable(dtype: pl.DataType) -> bool:
    """Tell structs, blobs and lists of such from what can be a feature."""
    if isinstance(dtype, (pl.List, pl.Array)):
        return not isinstance(dtype.inner, (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object))
    return not isinstance(dtype, (pl.Struct, pl.Binary, pl.Object))


def _typed(table: Table, series: pl.Series) -> pl.Series:
    """Give a column as Float64, String or List(String): the same whatever format it came in."""
    dtype = series.dtype
    if isinstance(dtype, (pl.List, pl.Array)):
        return series.cast(pl.List(pl.String), strict=False)
    if dtype.is_temporal():
        if isinstance(dtype, pl.Date):
            series = series.cast(pl.Datetime("us"))
        unit = getattr(dtype, "time_unit", "us")
        if unit == "ns":  # towards the coarser unit nothing is out of range
            series = series.cast(pl.Duration("us") if isinstance(dtype, pl.Duration) else pl.Datetime("us"))
        return series.to_physical().cast(pl.Float64) * (1e3 if unit == "ms" else 1.0) / _MICROSECONDS
    if dtype.is_numeric() or dtype in {pl.Boolean, pl.Null}:
        return _finite(table, series, series.cast(pl.Float64))
    return _typed_text(table, series.cast(pl.String))


def _nonempty(text: pl.Series) -> pl.Series:
    return text.set(text == "", None)


def _scattered(
    columns: pl.DataFrame, file_rows: npt.NDArray[np.int64], id_rows: npt.NDArray[np.int64], count: int
) -> pl.DataFrame:
    """Put the rows of the file at the rows of their ids, nulls at the others."""
    places = np.full(count, -1, dtype=np.int64)
    places[id_rows] = file_rows
    at = pl.Series(places)
    return columns.select(pl.all().gather(at.set(at < 0, None)))


def _typed_text(table: Table, series: pl.Series) -> pl.Series:
    text = _nonempty(series)
    words = text.drop_nulls().str.to_lowercase()
    if len(words) and words.is_in(["true", "false"]).all():
        return (text.str.to_lowercase() == "true").cast(pl.Float64)
    numbers = text.cast(pl.Float64, strict=False)
    return _finite(table, series, numbers) if numbers.null_count() == text.null_count() else text


def _finite(table: Table, series: pl.Series, numbers: pl.Series) -> pl.Series:
    wrong = (numbers.is_nan() | numbers.is_infinite()).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(
            f"{table.path}: feature {series.name} in row {row + 1} is {shown(series[row])}, not a finite number",
            hint=f"leave the {int(wrong.sum())} such values empty or mend them",
        )
    return numbers


def _encode(series: pl.Series) -> Columns | None:
    """Encode one typed column; no columns where it is constant, None where it is text that is no category."""
    if series.dtype == pl.Float64:
        return None if _is_identifier(series) else _standardised(series)
    if series.null_count() == len(series):
        return [], []
    if series.dtype == pl.String:
        return _encode_text(series)
    return _encode_words(series, _exploded(series))


def _encode_text(series: pl.Series) -> Columns | None:
    encoded = _encode_words(series, _by_row(series).drop_nulls(_WORD))
    for delimiter in DELIMITERS:
        if encoded is None and series.str.contains(delimiter, literal=True).any():
            encoded = _encode_words(series, _exploded(series.str.split(delimiter)))
    return encoded


def _encode_words(series: pl.Series, words: pl.DataFrame) -> Columns | None:
    """Make indicators where the words are few and shared; ``words`` has the columns row and word."""
    most = min(MAX_CATEGORIES, (len(series) - series.null_count()) // _ROWS_PER_CATEGORY)
    return _indicators(series.name, words, len(series)) if words[_WORD].n_unique() <= most else None


def _shared(known: pl.DataFrame) -> list[str]:
    """Name the columns by which users can be told apart in groups: numbers, and texts that each have several users.

    Names, addresses and the like say nothing of a group, and go no further than the file that they stand in.
    """
    return [
        series.name
        for series in known
        if (series.dtype == pl.Float64 and not _is_identifier(series))
        or (
            series.dtype == pl.String
            and _ROWS_PER_CATEGORY * series.drop_nulls().n_unique() <= len(series) - series.null_count()
        )
    ]


def _is_identifier(series: pl.Series) -> bool:
    return (series.name == "id" or series.name.endswith("_id")) and series.n_unique() == len(series)


def _exploded(series: pl.Series) -> pl.DataFrame:
    words = _by_row(series).explode(_WORD)
    words = words.with_columns(pl.col(_WORD).str.strip_chars()).drop_nulls(_WORD)
    return words.filter(pl.col(_WORD) != "")


def _by_row(series: pl.Series) -> pl.DataFrame:
    return series.alias(_WORD).to_frame().with_row_index(_ROW)


def _standardised(series: pl.Series) -> Columns:
    known = series.drop_nulls().to_numpy()
    if len(known) == 0 or known.min() == known.max():
        return [], []
    known = to_unit_range(known)  # squares of large numbers would overflow, of small ones vanish
    values = np.zeros(len(series), dtype=np.float32)
    values[series.is_not_null().to_numpy()] = (known - known.mean()) / known.std()
    return [series.name], [values]


def _indicators(name: str, words: pl.DataFrame, count: int) -> Columns:
    """Make one 0 / 1 column per distinct word; ``words`` has the columns row and word."""
    names, columns = [], []
    for word in words[_WORD].unique().sort():
        column = np.zeros(count, dtype=np.float32)
        column[words.filter(pl.col(_WORD) == word)[_ROW].to_numpy()] = 1.0
        if column.min() != column.max():
            names.append(f"{name}={word}")
            columns.append(column)
    return names, columns
