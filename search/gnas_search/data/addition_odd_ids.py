"""Rows that cannot be added since their ids have no form in the log: named, refused, or written to a file beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from gnas_search.data.tables import FORMATS, Table, shown, table_bytes
from gnas_serve.artifact.fresh_file import whole_file
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, DataError
from gnas_serve.plain_text import counted

_MOST_NAMED = 10


class OddIds:
    """Which rows of what is added have an id that is text where the log has integers.

    Parameters
    ----------
    later
        What is added.
    base
        The log.

    Attributes
    ----------
    rows : (n,) bool
        Whether each has one.
    """

    def __init__(self, later: Table, base: Table) -> None:
        self._later, self._base = later, base
        self._first = ""
        self.rows = pl.repeat(False, later.frame.height, eager=True)

    def add(self, column: str, odd: pl.Series) -> None:
        """Take note of those of one column."""
        if odd.any() and not self._first:
            row = int(odd.arg_true()[0])
            self._first = f"{column} in row {row + 1} is {shown(str(self._later.frame[column][row]))}"
        self.rows |= odd

    def refuse(self) -> None:
        """Refuse them.

        Raises
        ------
        DataError
            If there are any; it names them.
        """
        if self.rows.any():
            raise DataError(
                f"{self._later.path}: {self._first}, not a 64-bit integer as the ids of {self._base.path.name} are; "
                f"{self._named()}",
                hint="--left-out FILE adds the others and writes these rows to FILE; --id-type text reads all as text",
            )

    def notes(self, path: Path | None) -> list[str]:
        """Say what is left out, for people; nothing where nothing is."""
        if path is None or not self.rows.any():
            return []
        return [f"left out, as {self._first} and no 64-bit integer: {self._named()}; they are in {path}"]

    @contextmanager
    def written(self, path: Path | None) -> Iterator[None]:
        """Write them to a file, which is gone again where the block fails; no file where there are none.

        Raises
        ------
        ConfigError
            If there is such a file, or its name ends with no form that is written.
        StorageError
            If it cannot be written.
        """
        if path is None:
            yield
            return
        if path.suffix[1:] not in FORMATS:
            raise ConfigError(f"--left-out {path} is of no form", hint=f"end it with .{', .'.join(FORMATS)}")
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} already exists", hint="choose another file or remove it", code="exists")
        if not self.rows.any():
            yield
            return
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as stream:
                stream.write(table_bytes(self._later.frame.filter(self.rows), path.suffix))
        try:
            yield
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _named(self) -> str:
        places = [str(row + 1) for row in self.rows.arg_true()[:_MOST_NAMED].to_list()]
        count = int(self.rows.sum())
        more = f" and {count - len(places):,} more" if count > len(places) else ""
        return f"{counted(count, 'such row')}: {', '.join(places)}{more}"
