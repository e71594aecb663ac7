"""A journal's file that notices missing records: Optuna passes over what it finds no trial for."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from gnas_serve.errors import IntegrityError

_HINT = "restore it, or search into another folder"
_OF_A_TRIAL = frozenset(
    {
        JournalOperation.SET_TRIAL_PARAM,
        JournalOperation.SET_TRIAL_STATE_VALUES,
        JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
        JournalOperation.SET_TRIAL_USER_ATTR,
        JournalOperation.SET_TRIAL_SYSTEM_ATTR,
    }
)


class CheckedFile(JournalFileBackend):
    """Gives the records of a file, each of a study and a trial that were begun before, and a trial that has not ended.

    A trial's number is how many were begun before it: where the record of one that was begun is missing, all that
    follow take the results of others.

    Parameters
    ----------
    path
        Of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._given = 0
        self._has_study = False
        self._ended: list[bool] = []  # of each trial

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Give the records from one on.

        Raises
        ------
        IntegrityError
            If one does not agree with those before.
        """
        for number, log in enumerate(super().read_logs(log_number_from), log_number_from):
            if number == self._given:  # what is given again was seen
                self._check(log)
                self._given += 1
            yield log

    def _check(self, log: dict[str, Any]) -> None:
        operation = log["op_code"]
        if operation == JournalOperation.CREATE_STUDY:
            self._has_study = True
        elif not self._has_study:
            raise self._damaged("is of a study that was not begun")
        elif operation == JournalOperation.CREATE_TRIAL:
            self._ended.append(_is_end(log.get("state")))
        elif operation in _OF_A_TRIAL:
            trial = log["trial_id"]
            if trial >= len(self._ended):
                raise self._damaged(f"is of trial {trial}, which was not begun")
            if self._ended[trial]:
                raise self._damaged(f"is of trial {trial}, which had ended")
            if operation == JournalOperation.SET_TRIAL_STATE_VALUES:
                self._ended[trial] = _is_end(log["state"])

    def _damaged(self, what: str) -> IntegrityError:
        said = f"{self._path} is damaged: line {self._given + 1} {what}; a line before it is missing or altered"
        return IntegrityError(said, hint=_HINT)


def _is_end(state: int | None) -> bool:
    return state is not None and TrialState(state).is_finished()
