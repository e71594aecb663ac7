"""Recovery: what an earlier run did not bring to its end is closed and queued for its second try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from gnas_search.space import SearchSpace
from gnas_search.strategies.tally import FAMILY, INTERRUPTED, REJECTED, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import is_locked, open_journal
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import are_lost
from gnas_search.study.own_journal import end_trial
from gnas_search.study.study import Study
from gnas_serve.errors import IntegrityError

_OF_THE_DRAW = (records.PHASE, records.STRATEGY, REJECTED)
"""Attributes of a trial that its second try has as well."""


def recover(folder: Path, header: StudyHeader, journal: optuna.Study, space: SearchSpace) -> None:
    """Queue what a killed run left unfinished, and those whose metrics a failure of power took.

    Parameters
    ----------
    folder, header
        Of the study.
    journal
        Its journal, or a copy of it; nothing else is written.
    space
        Restricted to its data.

    Raises
    ------
    IntegrityError
        If a trial of the journal is damaged.
    """
    _check(folder, header, journal)
    for trial in journal.get_trials(deepcopy=False):
        # Also of one that is marked as interrupted: killed right after that, a run has not queued it yet.
        is_measured = records.MEASURED in trial.user_attrs
        if is_measured and are_lost(folder, records.stored_key(trial.user_attrs[records.SPEC])):
            try_again(journal, space, trial.number)
    for trial in journal.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if records.MEASURED in trial.user_attrs:  # an end is written at once, of which a full disk may take a part
            measured = Measurement.from_json(trial.user_attrs[records.MEASURED])
            is_infeasible = records.INFEASIBLE in trial.user_attrs
            values = values_of(measured, journal, header.objectives.names, is_infeasible=is_infeasible)
            end_trial(journal, trial.number, values)
        else:
            try_again(journal, space, trial.number)


def as_found_next(folder: Path, header: StudyHeader, space: SearchSpace) -> optuna.Study:
    """Copy a study's journal into memory, as its next run would have it before its first draw; nothing is written.

    Parameters
    ----------
    folder, header
        Of the study. While another process writes it, what runs there is left as it is.
    space
        Restricted to its data.

    Raises
    ------
    IntegrityError
        If the journal is damaged, or one of its trials.
    """
    journal = open_journal(folder, create=False)
    _check(folder, header, journal)
    copy = optuna.create_study(directions=journal.directions)
    for name, value in journal.user_attrs.items():
        copy.set_user_attr(name, value)
    try:
        copy.add_trials(journal.get_trials(deepcopy=False))
    except (TypeError, ValueError) as error:  # checked where they are added, and not where they are read
        raise IntegrityError(f"{folder}: a trial is unreadable: {error}", hint="search again") from error
    if not is_locked(folder):
        recover(folder, header, copy, space)
    return copy


def _check(folder: Path, header: StudyHeader, journal: optuna.Study) -> None:
    """Read every trial: a damaged one is refused as such, and not as a setting of this run."""
    _ = Study(folder, header, journal).trials


def try_again(journal: optuna.Study, space: SearchSpace, number: int) -> None:
    """Close a trial that did not come to its end, or whose end was lost, and queue its point again.

    Parameters
    ----------
    journal, space
        As of :func:`recover`.
    number
        Of the trial.
    """
    trial = journal.get_trials(deepcopy=False)[number]
    journal.set_user_attr(INTERRUPTED, sorted({*interrupted_numbers(journal), number}))
    # A trial killed while it was being drawn has only some genes; its draw is repeated by the same seed.
    family = family_of(trial)
    whole = family in space.families and set(trial.params) == set(space.families[family].genes)
    queued = trial.params if whole else trial.system_attrs.get("fixed_params")
    # Stopped right here by an earlier run, it is queued already.
    again = (other.user_attrs.get(records.RETRY_OF) for other in journal.get_trials(deepcopy=False))
    if queued is not None and number not in again:
        kept = {name: value for name, value in trial.user_attrs.items() if name in _OF_THE_DRAW}
        journal.enqueue_trial(queued, user_attrs={records.RETRY_OF: number, FAMILY: family, **kept})
    if not trial.state.is_finished():
        end_trial(journal, number, None)


def values_of(
    measured: Measurement, journal: optuna.Study, names: Sequence[str], *, is_infeasible: bool
) -> list[float] | None:
    """Say what strategies hear of a model; None where that is nothing.

    Parameters
    ----------
    measured
        Of the model.
    journal
        Of the study.
    names
        Of its objectives.
    is_infeasible
        Whether the model broke a constraint when it was measured.
    """
    if is_infeasible:
        return records.infeasible_values(journal)
    if measured.is_cut:  # a model hardly trained says little of its architecture: nothing to learn from
        return None
    values = [measured.value_of(name) for name in names]
    if None in values or not np.isfinite([float(value or 0.0) for value in values]).all():
        return None  # it is on the leaderboard; no strategy can use it
    return [float(value or 0.0) for value in values]
