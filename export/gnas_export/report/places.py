"""Places: where an export may write, checked before any work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, StorageError

_LARGEST_REPORT = 64 << 20


def report_beside(out: Path) -> Path:
    """Name the report where no artifact is made and no other place was given."""
    return out.with_name(f"{out.name}.report.json")


def page_beside(report: Path) -> Path | None:
    """Name the page of a report: the same name, ending in .html; None where the report's does not end in .json."""
    return report.with_suffix(".html") if report.suffix == ".json" else None


def check_places(out: Path, report_path: Path | None, junit_path: Path | None = None) -> None:
    """Refuse places that cannot be written.

    Parameters
    ----------
    out
        The artifact's folder.
    report_path
        Where the report is wanted; beside ``out`` when None. Missing folders above it are made later. Its page stands
        beside it.
    junit_path
        Where the gates are wanted as a JUnit report, if anywhere.

    Raises
    ------
    ConfigError
        If ``out`` exists, a report would lie inside of it, or the place of one is a folder or another file.
    StorageError
        If the nearest existing folder above either cannot be written to, or is none.
    """
    given = {"--report": report_path, "--junit": junit_path}
    with storage_errors(out):
        if out.exists() or out.is_symlink():
            raise ConfigError(f"{out} already exists", hint="choose another output folder or remove it", code="exists")
        for option, path in given.items():
            if path is not None and out.resolve() in (path.resolve(), *path.resolve().parents):
                raise ConfigError(
                    f"{option} {path} lies inside --out {out}",
                    hint=f"the artifact holds its {LAYOUT.report} anyway; name another file",
                )
        _check_above(out)
    report = report_path or report_beside(out)
    page = page_beside(report)
    if junit_path is not None and junit_path.resolve() in {one.resolve() for one in (report, page) if one is not None}:
        what = "report" if junit_path.resolve() == report.resolve() else "page beside the report"
        raise ConfigError(f"--junit {junit_path} is the {what}, too", hint="name another file")
    _check_file(report, b"{", b"gnas-serve/export-report/", b'"ranker_gates"')  # the second before there was a schema
    if page is not None:
        _check_file(page, b"<!doctype html>", b"gnas-serve/export-report/")
    if junit_path is not None:
        _check_file(junit_path, b"<?xml", b'name="gnas-serve export"')


def _check_file(report: Path, beginning: bytes, *marks: bytes) -> None:
    """Refuse the place of a report that is anything but an earlier one, an empty file or a device."""
    with storage_errors(report):
        if report.is_dir():
            raise ConfigError(f"{report} is a folder: the report is a file", hint=f"give {report / LAYOUT.report}")
        if not report.exists():
            _check_above(report)
        elif not os.access(report, os.W_OK):
            raise StorageError(f"cannot write {report}: permission denied", hint="name a file that you may write")
        elif report.is_file() and report.stat().st_size and not _is_earlier(report, beginning, marks):
            raise ConfigError(
                f"{report} is there, and no report", hint="name another file, or remove it", code="exists"
            )


def _is_earlier(path: Path, beginning: bytes, marks: tuple[bytes, ...]) -> bool:
    """Tell an earlier report by how it begins, and by what no other file says of itself."""
    if path.stat().st_size > _LARGEST_REPORT:
        return False
    content = path.read_bytes()
    return content.startswith(beginning) and any(mark in content for mark in marks)


def _check_above(target: Path) -> None:
    # A link to nothing, or to itself, is there as well: no folder can be made in its place.
    nearest = next(folder for folder in target.parents if folder.exists() or folder.is_symlink())
    if not nearest.is_dir():
        what = "is a file" if nearest.exists() else "is a link that leads nowhere"
        raise StorageError(f"cannot write {target}: {nearest} {what}", hint="choose another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write {target}: permission denied in {nearest}", hint="choose another place")
    try:
        # Modes do not tell of all: in /proc or /sys nothing can be made, whoever may write there.
        Path(tempfile.mkdtemp(prefix=".gnas-", dir=nearest)).rmdir()
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: nothing can be made in {nearest}: {error.strerror}", hint="choose another place"
        ) from error
