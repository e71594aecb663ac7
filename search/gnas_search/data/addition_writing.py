"""A log with what is added to it, as a file: what was there stays as it is written, to the byte where it is text."""

from __future__ import annotations

import polars as pl

from gnas_search.data.tables import SEPARATORS, Table, table_bytes

_JSON_BLANK = "\t "


def joined_bytes(base: Table, own: pl.DataFrame, new: pl.DataFrame) -> bytes:
    """Give the content of a file of both.

    Lines of text stay as they are, quotes, line ends and all, and those that are added follow; Parquet, and ids of JSON
    that become text, are written anew.

    Parameters
    ----------
    base
        The log, as it was read.
    own
        Its rows as they are to be read from now on.
    new
        What is added, of any of its columns.
    """
    joined = pl.concat([own, new], how="diagonal_relaxed")
    suffix = base.path.suffix
    if suffix == ".parquet" or _become_text(base.frame, own):
        return table_bytes(joined, suffix)
    content = base.path.read_bytes()
    if not new.height:
        return content
    rows = _without_blank_end(content, SEPARATORS.get(suffix, _JSON_BLANK))
    end = "\r\n" if b"\r\n" in content[: len(rows) + 2] else "\n"
    return rows + end.encode() + table_bytes(joined.tail(new.height), suffix, with_header=False, line_end=end)


def _become_text(before: pl.DataFrame, own: pl.DataFrame) -> bool:
    return any(own[name].dtype == pl.String != before[name].dtype for name in before.columns)


def _without_blank_end(content: bytes, blank: str) -> bytes:
    """Leave out what follows the last row: a row after blank lines would make rows of these."""
    last = len(content.rstrip(f"\r\n{blank}".encode()))  # without empty values at its end, which are kept
    end = content.find(b"\n", last)
    return content if end < 0 else content[:end].removesuffix(b"\r")
