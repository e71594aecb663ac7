"""OwnJournal: a journal's file as its one writer has it; trials whose begin and end are each written at once."""

from __future__ import annotations

import json
import math
import os
import time
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from gnas_search.study.checked_file import CheckedFile
from gnas_serve.errors import IntegrityError, StorageError

Records = list[dict[str, Any]]

SYNC_S = 5.0
"""What is recorded of trials is synced to the disk at most so often: on small data a sync each second took a third
of what passed between two. What was recorded since outlasts the death of the process, but not a failure of power."""


class OwnJournal(BaseJournalBackend):
    """Remembers what its process appended, where Optuna's own reads the file again whenever anything is asked.

    Between two trials of a search some forty things are. Nothing else may append meanwhile: a trial of another process
    would count all that follow it anew.

    Parameters
    ----------
    path
        Of the file; this process holds the study's writer lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = CheckedFile(path)
        self._unread: Records | None = None  # None before the file was read
        self._held: list[str] | None = None
        self._size: int | None = None  # in bytes, with what this process appended
        self._opened: int | None = None  # to open it anew for each trial took as long as to write
        self._synced_at = -math.inf
        self._is_synced = True
        self._is_whole = True
        self.appended = 0
        """How often anything was."""

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Give what was not given yet: the whole file, then what was appended."""
        if self._unread is None:
            self._unread = []
            self._size = self._path.stat().st_size
            return self._file.read_logs(log_number_from)
        unread, self._unread = self._unread, []
        return unread

    def append_logs(self, logs: Records) -> None:
        """Append records, synced to the disk, or hold them until the end of :meth:`together`."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        if self._held is None:
            self._append(lines, synced=True)
        else:
            self._held += lines
        self._unread = [*(self._unread or []), *map(json.loads, lines)]
        self.appended += 1

    @contextmanager
    def together(self) -> Iterator[None]:
        """Append all records of a block at its end, at once, synced where the last sync was :data:`SYNC_S` ago.

        Raises
        ------
        IntegrityError
            If another process has appended to the file.
        StorageError
            If what was appended before did not get there whole.
        """
        if self._held is not None:
            raise RuntimeError("what is to be written at once is being held already")
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self._append(held, synced=time.monotonic() - self._synced_at >= SYNC_S)

    def sync(self, *, at_once: bool = False) -> None:
        """Sync what is not yet, where the last sync was :data:`SYNC_S` ago, or at once."""
        if not self._is_synced and (at_once or time.monotonic() - self._synced_at >= SYNC_S):
            self._append((), synced=True)

    def _append(self, lines: Sequence[str], *, synced: bool) -> None:
        content = "".join(f"{line}\n" for line in lines).encode()
        if not self._is_whole:  # what followed would run into a torn line, and be of trials that the file does not have
            raise StorageError(
                f"{self._path}: a write before this one failed, and may have left a part of a line",
                hint="make room on the disk, then run the search again",
            )
        if self._opened is None:
            self._opened = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
            weakref.finalize(self, os.close, self._opened)
        self._require_own(self._opened)
        self._is_whole = False
        written = 0  # without Optuna's lock, a file that is made and unmade for each
        while written < len(content):  # once, but where the disk is about to be full
            written += os.write(self._opened, content[written:])
        if self._size is not None:
            self._size += written
        if synced:
            os.fsync(self._opened)
            self._synced_at = time.monotonic()
        self._is_synced, self._is_whole = synced, True

    def _require_own(self, opened: int) -> None:
        """Make sure that the file is still the one that was opened, and nobody else has appended to it."""
        if self._size is None:
            return
        try:
            there = self._path.stat()
        except FileNotFoundError:
            raise IntegrityError(f"{self._path} is gone", hint="restore it, then run the search again") from None
        if there.st_size != self._size or there.st_ino != os.fstat(opened).st_ino:
            raise IntegrityError(
                f"{self._path}: another process has written to it", hint="stop that one, then run the search again"
            )


class OwnStorage(JournalStorage):
    """Optuna's storage of an :class:`OwnJournal`; its list of trials is kept, as to make one takes ever longer."""

    def __init__(self, journal: OwnJournal) -> None:
        self._listed: list[FrozenTrial] = []
        self._unfinished: list[int] = []  # their numbers, which are their places in the list, as there is one study
        self._listed_at: int | None = None
        self._journal = journal
        super().__init__(journal)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Give the trials of the one study; unless they are copies, in a list that changes with them."""
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        if self._listed_at != self._journal.appended:
            super().get_study_directions(study_id)  # reads what was appended, of a study that must be there
            self._listed_at = self._journal.appended
            self._list()
        return self._listed if states is None else [trial for trial in self._listed if trial.state in states]

    def _list(self) -> None:
        """Take in what has changed: a trial that has ended does not any more."""
        trials = self._replay_result._trials
        for number in self._unfinished:
            self._listed[number] = trials[number]
        new = range(len(self._listed), len(trials))
        self._listed += [trials[number] for number in new]
        self._unfinished = [
            number for number in (*self._unfinished, *new) if not self._listed[number].state.is_finished()
        ]


def sync(journal: optuna.Study, *, at_once: bool = False) -> None:
    """Sync what was recorded of trials, where the last sync was :data:`SYNC_S` ago, or at once."""
    backend = getattr(journal._storage, "_backend", None)
    if isinstance(backend, OwnJournal):
        backend.sync(at_once=at_once)


def _together(journal: optuna.Study) -> AbstractContextManager[None]:
    """Append what a block records of a study as one, where it has a journal of its own."""
    backend = getattr(journal._storage, "_backend", None)
    return backend.together() if isinstance(backend, OwnJournal) else nullcontext()


def begin_trial(
    journal: optuna.Study,
    point: Mapping[str, Any],
    genes: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
) -> FrozenTrial:
    """Begin a trial in one record, by the writer of the journal.

    Optuna's own way, to queue a point and ask for it, writes and syncs one record per gene: ten milliseconds for a
    network, and a process killed meanwhile leaves a trial of some genes.

    Parameters
    ----------
    journal
        To which the trial is added.
    point, genes
        A value and a distribution for each gene.
    attributes
        Of the trial.
    """
    with _together(journal):
        return _add(journal, point, genes, attributes, TrialState.RUNNING, None)


def add_ended(
    journal: optuna.Study,
    point: Mapping[str, Any],
    genes: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
    values: Sequence[float] | None,
) -> None:
    """Add a trial that ended without having run: failed where it has no values; all else as for :func:`begin_trial`."""
    with _together(journal):
        _add(journal, point, genes, attributes, TrialState.FAIL if values is None else TrialState.COMPLETE, values)


def _add(
    journal: optuna.Study,
    point: Mapping[str, Any],
    genes: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
    state: TrialState,
    values: Sequence[float] | None,
) -> FrozenTrial:
    trial = create_trial(
        state=state, values=values, params=dict(point), distributions=dict(genes), user_attrs=dict(attributes)
    )
    journal._storage.create_new_trial(journal._study_id, template_trial=trial)  # add_trial would check it once more
    return journal.get_trials(deepcopy=False)[-1]


def end_trial(
    journal: optuna.Study,
    number: int,
    values: Sequence[float] | None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """End a running trial, with what is to be remembered of it, at once.

    Parameters
    ----------
    journal
        Of the trial.
    number
        Of the trial.
    values
        Of the objectives; None where it failed.
    attributes
        Further ones of the trial.

    Raises
    ------
    ValueError
        If the trial is not running.
    """
    storage = journal._storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(journal._study_id, number)
    if (state := storage.get_trial(trial_id).state) != TrialState.RUNNING:
        raise ValueError(f"trial {number} is {state.name.lower()}")
    with _together(journal):
        for name, value in (attributes or {}).items():
            storage.set_trial_user_attr(trial_id, name, value)
        storage.set_trial_state_values(trial_id, TrialState.FAIL if values is None else TrialState.COMPLETE, values)
