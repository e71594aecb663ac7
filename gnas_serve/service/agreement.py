"""Agreement: what the workers of a machine say of the revisions that they serve, and how all are waited for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any

from gnas_serve.artifact.file_lock import try_lock
from gnas_serve.artifact.fresh_file import open_fresh, replace_file
from gnas_serve.errors import StorageError
from gnas_serve.service.errors import NotReadyError

PATIENCE_S = 60.0
"""Seconds in which all workers have to have followed."""
_POLL_S = 0.05

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """How far a worker is.

    Attributes
    ----------
    revision
        What it serves.
    refused, refusal
        Another revision that it cannot serve, and why; None where there is none.
    """

    revision: int
    refused: int | None = None
    refusal: str | None = None


class Agreement:
    """One worker among those of a machine, each with a report in one folder.

    Whether the one who wrote a report still lives is told by a lock that ends with its process. A process id would not
    do: in a container that begins again, the ids of before are other processes'.

    Parameters
    ----------
    folder
        Of the reports.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The process id is for people who look into the folder; the rest keeps the name from being given twice.
        self._name = f"worker-{os.getpid()}-{secrets.token_hex(8)}"
        self._lock: IO[bytes] | None = None
        self._report = Report(0)
        self._is_due = False
        self._is_failing = False

    def join(self, revision: int) -> None:
        """Be one of those who are waited for, from now on.

        Raises
        ------
        StorageError
            If the folder cannot be written, or has no locks.
        """
        try:
            self._lock = open_fresh(_lock_of(self._path))
            try_lock(self._lock)
            self._report = Report(revision)
            self._write()
        except OSError as error:
            self.leave()
            raise StorageError(f"{self._folder}: {error}", hint="give a folder that can be written") from error

    def report(self, report: Report) -> None:
        """Say how far this worker is; nothing of one that has left. What cannot be written now is by :meth:`repeat`."""
        if report != self._report:
            self._report, self._is_due = report, True
            self.repeat()

    def repeat(self) -> None:
        """Say again what could not be written when it was to be."""
        if not self._is_due or self._lock is None:
            return
        try:
            self._write()
        except OSError as error:
            if not self._is_failing:
                _log.error("other workers cannot be told what this one serves", exc_info=error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _write(self) -> None:
        replace_file(self._path, json.dumps(asdict(self._report)).encode())
        self._is_due = False

    def reports(self) -> list[Report]:
        """Give what the workers that live have said; reports of others are removed."""
        found = []
        for path in sorted(self._folder.glob("worker-*.json")):
            if not _lives(path):
                path.unlink(missing_ok=True)
                _lock_of(path).unlink(missing_ok=True)
                continue
            with suppress(OSError, ValueError, TypeError, KeyError):
                found.append(_read(json.loads(path.read_bytes())))
        return found

    async def reached(self, revision: int) -> str | None:
        """Wait until every worker serves a revision or a later one; give the reason of one that cannot.

        Raises
        ------
        NotReadyError
            If not all do in time, or this worker leaves before.
        """
        deadline = monotonic() + PATIENCE_S
        while True:
            reports = self.reports()
            behind = [report for report in reports if report.revision < revision]
            # What was said of a revision before says nothing of this one.
            refusals = [report.refusal for report in behind if report.refusal and report.refused == revision]
            if refusals or not behind:
                return refusals[0] if refusals else None
            if monotonic() > deadline or self._lock is None:
                raise NotReadyError(
                    f"{len(behind)} of {len(reports)} workers do not serve it yet",
                    hint="ask for the deployment in a while",
                    code="not_followed",
                )
            await asyncio.sleep(_POLL_S)

    def leave(self) -> None:
        """Say no more: this worker ends."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):  # whoever reads it next removes it
                self._path.unlink(missing_ok=True)
            lock.close()
            with suppress(OSError):
                _lock_of(self._path).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._name}.json"


def _lock_of(report: Path) -> Path:
    return report.with_suffix(".lock")


def _read(raw: Any) -> Report:
    report = Report(**raw)
    if type(report.revision) is not int:
        raise TypeError(f"revision is {report.revision!r}")
    return report


def _lives(report: Path) -> bool:
    """Tell whether the one who wrote a report holds its lock; reports of earlier versions have none."""
    try:
        with _lock_of(report).open("rb") as lock:
            return not try_lock(lock, shared=True)
    except FileNotFoundError:
        return False
    except OSError:  # who cannot be asked is waited for
        return True
