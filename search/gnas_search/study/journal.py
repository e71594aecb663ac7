"""The journal of a study: an append-only log of its trials, one writer at a time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from gnas_search.study.checked_file import CheckedFile
from gnas_search.study.metrics import has_metrics
from gnas_search.study.own_journal import OwnJournal, OwnStorage, sync
from gnas_serve.artifact.file_lock import try_lock
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, IntegrityError, StorageError

Direction = Literal["maximize", "minimize"]
JOURNAL = "journal.log"
_APPEND_LOCK = f"{JOURNAL}.lock"
_WRITER_LOCK = "writer.lock"
_STUDY_NAME = "study"
_PATIENCE_S = 0.5  # a reader holds the lock for a moment while it looks whether a writer does
_POLL_S = 0.01


class WriterLock:
    """Held by the one process that writes a study; the operating system drops it when that process dies.

    Parameters
    ----------
    folder
        Of the study.

    Raises
    ------
    ConfigError
        If another process holds it.
    StorageError
        If its file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        with storage_errors(folder / _WRITER_LOCK):
            self._stream: BinaryIO = (folder / _WRITER_LOCK).open("ab")
            latest = time.monotonic() + _PATIENCE_S
            while not (locked := try_lock(self._stream)) and time.monotonic() < latest:
                time.sleep(_POLL_S)
        if not locked:
            self._stream.close()
            raise ConfigError(
                f"{folder}: another search is running on this study", hint="wait for it or stop it", code="locked"
            )

    def release(self) -> None:
        """Let another process write."""
        self._stream.close()


def is_locked(folder: Path) -> bool:
    """Tell whether a process is writing the study.

    Raises
    ------
    StorageError
        If a folder stands where the file of its lock belongs.
    """
    path = folder / _WRITER_LOCK
    if not path.exists():
        return False
    if path.is_dir():
        raise StorageError(f"{path} is a folder", hint="a file belongs there, which a search makes: remove the folder")
    with storage_errors(path), path.open("rb") as stream:
        return not try_lock(stream, shared=True)


def mend_journal(folder: Path) -> None:
    """Drop a torn last line, so that the next record does not run into it; the writer lock is held.

    A process killed while it appended leaves such a line, and perhaps the lock of that one append.
    """
    (folder / _APPEND_LOCK).unlink(missing_ok=True)
    path = folder / JOURNAL
    if not path.is_file():  # what stands there instead is refused when the journal is opened
        return
    raw = path.read_bytes()
    kept = raw.rfind(b"\n") + 1
    last = raw.rfind(b"\n", 0, max(kept - 1, 0)) + 1
    try:
        json.loads(raw[last:kept] or b"{}")
    except ValueError:
        kept = last
    except RecursionError:  # a whole line, but none of ours: refused when the journal is opened
        return
    if kept < len(raw):
        with path.open("r+b") as stream:
            stream.truncate(kept)


def open_journal(folder: Path, *, create: bool, directions: Sequence[Direction] = ("maximize",)) -> optuna.Study:
    """Open the Optuna study behind a study.

    Parameters
    ----------
    folder
        Of the study.
    create
        By the holder of the writer lock alone: begin the journal where it is absent, and read what is in it once.
        Otherwise an absent journal reads as an empty one, as long as nothing was measured.
    directions
        Of the objectives of a journal that is begun.

    Raises
    ------
    IntegrityError
        If the journal is damaged anywhere but in its last line, or lost.
    """
    path, is_begun = folder / JOURNAL, has_metrics(folder)  # asked first: a journal is there before any metrics
    if path.is_dir():
        raise IntegrityError(f"{path} is a folder", hint="restore the file, or search again")
    if not path.exists() and is_begun:
        raise _lost(path, "is missing")
    if not path.exists() and not create:
        return optuna.create_study(directions=list(directions))
    try:
        # JournalStorage pickles snapshots only for back ends that keep them; the file back end does not.
        storage = OwnStorage(OwnJournal(path)) if create else JournalStorage(CheckedFile(path))
        if optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=_STUDY_NAME, storage=storage)
            _check_values(study)
            return study
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: {error}", hint="restore it, or search again") from error
    if is_begun:
        raise _lost(path, "is empty")
    return optuna.create_study(storage=storage if create else None, study_name=_STUDY_NAME, directions=list(directions))


def _check_values(study: optuna.Study) -> None:
    """Make sure that trials have a number for each objective: Optuna reads what is written, and fails later."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        values = trial.values
        if len(values) != len(study.directions) or any(math.isnan(value) for value in values):
            raise ValueError(f"trial {trial.number} has the values {values}")


def _lost(path: Path, what: str) -> IntegrityError:
    """Refuse to begin anew what has measured models."""
    return IntegrityError(
        f"{path} {what}, though the study has measured models", hint="restore it, or search into another folder"
    )


@contextmanager
def writing(folder: Path, directions: Sequence[Direction]) -> Iterator[optuna.Study]:
    """Be the one writer of a study's journal, mended and begun where that is needed.

    Parameters
    ----------
    folder
        Of the study.
    directions
        Of its objectives.

    Raises
    ------
    ConfigError
        If another process is.
    IntegrityError
        If the journal is damaged, or the folder went while it was written.
    """
    lock = WriterLock(folder)
    try:
        mend_journal(folder)
        journal = open_journal(folder, create=True, directions=directions)
        yield journal
        sync(journal, at_once=True)
    except (OSError, IntegrityError, StorageError) as error:  # whatever of it was to be written first
        if folder.is_dir():
            raise
        raise IntegrityError(
            f"{folder} is gone: it was moved or deleted while the search ran",
            hint="put it back before you run the same command again, which would begin a new study",
        ) from error
    finally:
        lock.release()
