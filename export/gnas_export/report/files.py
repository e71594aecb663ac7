"""Report files: all that tells of an export outside of the artifact, so written that no two of them disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnas_export.report.junit import junit_report
from gnas_export.report.places import page_beside
from gnas_serve.artifact.store import canonical_json, storage_errors
from gnas_serve.errors import GnasError, StorageError

Report = dict[str, Any]


@dataclass(frozen=True)
class ReportFiles:
    """Where they go.

    Attributes
    ----------
    report
        The JSON report; a page stands beside it where :func:`gnas_export.report.places.page_beside` has a place for
        one. None where the artifact holds both and no other is wanted.
    junit
        The gates as a JUnit report; None where none is wanted.
    """

    report: Path | None
    junit: Path | None = None

    def write(self, report: Report) -> None:
        """Write all of them.

        Raises
        ------
        StorageError
            At the first that does not fit; those before it are written, and :meth:`write_failure` is to follow.
        """
        for path, content in self._contents():
            write_whole(path, content(report))

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [path for path, _ in self._contents()]

    def write_failure(self, report: Report, error: GnasError) -> list[Path]:
        """Write all that fit, whatever was there; where one does not, the first failure stays the one to be told.

        What cannot be written is removed: a report of an earlier export in its place would tell something else.

        Returns
        -------
        list
            Those that are written.
        """
        written, unwritten = [], []
        for path, content in self._contents():
            try:
                write_whole(path, content(report))
                written.append(path)
            except (StorageError, OSError) as fault:
                # What ended the export is told already where it is this very fault.
                if not isinstance(fault, GnasError) or fault.message != error.message:
                    unwritten.append(str(fault))
        if unwritten:
            error.hint = f"{error.hint}; the report could not be written: {unwritten[0]}".removeprefix("; ")
        return written

    def remove(self) -> None:
        """Remove the report and its page, where they are there."""
        for path in (self.report, None if self.report is None else page_beside(self.report)):
            if path is not None and path.is_file():
                path.unlink()

    def _contents(self) -> Iterator[tuple[Path, Callable[[Report], bytes]]]:
        if self.report is not None:
            yield self.report, canonical_json
        if self.junit is not None:
            yield self.junit, junit_report
        page = None if self.report is None else page_beside(self.report)
        if page is not None:
            yield page, page_of


def page_of(report: Report) -> bytes:
    """Give the report as a page."""
    # A study's report comes with it, and with that Optuna: a second that no refused option should wait for.
    from gnas_export.report.page import render

    return render(report).encode()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in its place, which may be a device; half a file is none.

    Raises
    ------
    StorageError
        If the disk is full or the place is not writable; no file is left there then.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(content)
        except OSError:
            if path.is_file():
                with suppress(OSError):  # what was in the way is what is to be told
                    path.unlink()
            raise
