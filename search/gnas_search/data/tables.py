"""The files of a data folder, in any of the four formats, each as one table."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gnas_serve.errors import DataError

FORMATS = ("parquet", "csv", "tsv", "jsonl")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Of values in a line, by the suffix of the file."""
_REASON_CHARACTERS = 160
_SHOWN_CHARACTERS = 40
_RENAMED = re.compile(r"(.*)_duplicated_\d+\Z", re.DOTALL)  # what polars calls a column whose name was there before
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Table:
    """One file of a data folder.

    Attributes
    ----------
    path
        Named in every error.
    frame
        Rows in file order; every column is text where the format has no types (CSV, TSV).
    typed
        Whether the format itself tells numbers from text.
    """

    path: Path
    frame: pl.DataFrame
    typed: bool


def find_table(folder: Path, stem: str) -> Path | None:
    """Find ``stem.{parquet,csv,tsv,jsonl}``.

    Raises
    ------
    DataError
        If the folder does not exist, or holds the table in two formats.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}", hint=f"give the folder that holds {_names('interactions')}")
    found = [path for path in (folder / f"{stem}.{ending}" for ending in FORMATS) if path.is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder} holds both {names}", hint="keep the one to be read")
    return found[0] if found else None


def read_table(path: Path) -> Table:
    """Read one file, whatever its format.

    Raises
    ------
    DataError
        If it is unreadable, empty or has no rows.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", hint="0 bytes: write the data again")
        frame = _parse(path)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path} is empty", hint="give a header line and at least one row") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as {path.suffix[1:]}: {_reason(path, error)}", hint="write or copy the file again"
        ) from error
    if frame.height == 0:
        raise DataError(f"{path} has no rows", hint="give at least one row")
    return Table(path, frame, typed=path.suffix in {".parquet", ".jsonl"})


def require_table(folder: Path, stem: str) -> Table:
    """Find and read a table that must be there.

    Raises
    ------
    DataError
        As :func:`find_table` and :func:`read_table`, and if it is absent.
    """
    path = find_table(folder, stem)
    if path is None:
        raise DataError(f"{folder} holds no {_names(stem)}", hint="put the logs there under one of these names")
    return read_table(path)


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write one file, in the format that its name says.

    Raises
    ------
    OSError
        If the disk is full or not writable.
    """
    # Through memory, so that a full disk is the operating system's error and not polars's.
    path.write_bytes(table_bytes(frame, path.suffix))


def table_bytes(frame: pl.DataFrame, suffix: str, *, with_header: bool = True, line_end: str = "\n") -> bytes:
    """Give the content of a file.

    Parameters
    ----------
    suffix
        Of its name: which of the :data:`FORMATS` it has.
    with_header, line_end
        Of lines of values; each is ended, the last one too. Lines of JSON have no header.
    """
    buffer = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(buffer)
    elif suffix == ".jsonl":
        frame.write_ndjson(buffer)
        return buffer.getvalue().replace(b"\n", line_end.encode())  # JSON spells out those within a text
    else:
        frame.write_csv(buffer, separator=SEPARATORS[suffix], include_header=with_header, line_terminator=line_end)
    return buffer.getvalue()


def first_other_and_text(path: Path, column: str) -> tuple[tuple[int, int | float], tuple[int, str]] | None:
    """Find where a JSON Lines column changes between text and what is none, which the table no longer shows.

    Returns
    -------
    tuple or None
        The first number or truth value and the first text, each as (data row from 1, value); None where one kind is
        absent.
    """
    other: tuple[int, int | float] | None = None
    text: tuple[int, str] | None = None
    with path.open(encoding="utf-8-sig") as lines:
        for row, line in enumerate((line for line in lines if line.strip()), start=1):
            value = json.loads(line).get(column)
            if isinstance(value, str):
                text = text or (row, value)
            elif isinstance(value, (int, float)):
                other = other or (row, value)
            if other and text:
                return other, text
    return None


def shown(value: object) -> str:
    """Give a value for a message: as written in code, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _parse(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path, glob=False)
    if path.suffix == ".jsonl":
        # Every row counts for the schema: a late row of another type would otherwise be read as null.
        # Bytes, since brackets in a path would be read as a pattern of many files.
        return pl.read_ndjson(path.read_bytes().removeprefix(_BYTE_ORDER_MARK), infer_schema_length=None)
    # Text first, types later: only so can a value that is no number be named with its row.
    frame = pl.read_csv(path, separator=SEPARATORS[path.suffix], infer_schema=False, glob=False)
    _check_header(path, frame.columns)
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if frame.height and blank[-1]:  # blank lines at the end of a file are no rows
        filled = (~blank).arg_true()
        frame = frame.head(int(filled[-1]) + 1 if len(filled) else 0)
    return frame


def _check_header(path: Path, columns: list[str]) -> None:
    """Refuse a header that was cut at the wrong separator, or that names a column twice."""
    wrong = [other for other in (",", ";", "\t") if other != SEPARATORS[path.suffix] and other in columns[0]]
    if len(columns) == 1 and wrong:
        raise DataError(
            f"{path} is separated by {wrong[0]!r}, a {path.suffix[1:]} file by {SEPARATORS[path.suffix]!r}",
            hint=f"write it with {SEPARATORS[path.suffix]!r}" + (", or name it .tsv" if wrong[0] == "\t" else ""),
        )
    if any(_RENAMED.match(name) for name in columns):
        header = pl.read_csv(
            path, separator=SEPARATORS[path.suffix], has_header=False, n_rows=1, infer_schema=False, glob=False
        ).row(0)
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{path} has the column {twice!r} twice", hint="rename or drop one of the two")


def _reason(path: Path, error: Exception) -> str:
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            for row, line in enumerate((line for line in lines if line.strip()), start=1):
                try:
                    if not isinstance(json.loads(line, parse_constant=_refuse_constant), dict):
                        return f"row {row} is not a JSON object"
                except RecursionError:
                    return f"row {row} is nested too deeply"
                except ValueError as problem:
                    return f"row {row}: {problem}"
    lines_of_error = str(error).strip().splitlines() or [type(error).__name__]
    return lines_of_error[0][:_REASON_CHARACTERS]


def _refuse_constant(name: str) -> None:
    """Refuse what Python takes beyond JSON: NaN and the infinities."""
    raise ValueError(f"{name} is no JSON: write null where a value is missing")


def _names(stem: str) -> str:
    return f"{stem}.{{{','.join(FORMATS)}}}"
