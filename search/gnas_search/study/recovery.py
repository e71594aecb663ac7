"""Recovery: what an earlier run did not bring to its end is closed and queued for its second try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from gnas_search.space import SearchSpace
from gnas_search.strategies.tally import FAMILY, INTERRUPTED, REJECTED, family_of, interrupted_numbers
from gnas_search.study import records
from gnas_search.study.blending import BLENDED
from gnas_search.study.finalists import DECIDED, attribute_of
from gnas_search.study.header import StudyHeader
from gnas_search.study.journal import is_locked, open_journal
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import are_lost
from gnas_search.study.own_journal import end_trial
from gnas_search.study.records import BlendRecord
from gnas_search.study.study import BASELINE_PREFIX, BLEND_FAILED, BLENDS, Study
from gnas_serve.errors import IntegrityError

_OF_THE_DRAW = (records.PHASE, records.STRATEGY, REJECTED)
"""Attributes of a trial that its second try has as well."""


def recover(folder: Path, header: StudyHeader, journal: optuna.Study, space: SearchSpace) -> None:
    """Queue what a killed run left unfinished and what lost its metrics; forget what else lost them.

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
    _forget_lost(Study(folder, header, journal), journal)
    for trial in list(journal.get_trials(deepcopy=False)):  # to which second tries are added
        # Also of one that is marked as interrupted: killed right after that, a run has not queued it yet.
        if _lost_metrics(folder, trial):
            try_again(journal, space, trial.number)
    for trial in journal.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if records.MEASURED in trial.user_attrs:  # an end is written at once, of which a full disk may take a part
            measured = Measurement.from_json(trial.user_attrs[records.MEASURED])
            is_infeasible = records.INFEASIBLE in trial.user_attrs
            values = values_of(measured, journal, header.objectives.names, is_infeasible=is_infeasible)
            end_trial(journal, trial.number, values)
        else:
            try_again(journal, space, trial.number)


def _lost_metrics(folder: Path, trial: FrozenTrial) -> bool:
    """Tell whether the metrics of a trial that others are held against can be read no more."""
    facts = trial.user_attrs
    if records.MEASURED not in facts or records.INFEASIBLE in facts:  # nobody reads those of one that is too slow
        return False
    judged = facts[records.MEASURED].get("judged") is not None
    if not are_lost(folder, records.stored_key(facts[records.SPEC]), judged=judged):
        return False
    # Under the key of an earlier version: it may have been measured again since, under the one of today.
    return are_lost(folder, records.branch_spec(facts[records.SPEC]).key(), judged=judged)


def _forget_lost(study: Study, journal: optuna.Study) -> None:
    """Take what is no trial and lost its metrics for not measured: the run makes it anew."""
    for baseline in study.baselines:
        if are_lost(study.folder, baseline.key, judged=baseline.measured.judged is not None):
            journal.set_user_attr(BASELINE_PREFIX + baseline.name, None)
    for name, measured in study.repeats.items():
        if are_lost(study.folder, name, judged=measured.judged is not None):
            journal.set_user_attr(DECIDED, None)  # first: it may rest on this one
            journal.set_user_attr(attribute_of(name), None)
    if any(_lost_under_any(study.folder, blend) for blend in study.blends):
        journal.set_user_attr(BLENDED, None)
        journal.set_user_attr(BLEND_FAILED, "its metrics were lost")
        journal.set_user_attr(BLENDS, [])


def _lost_under_any(folder: Path, blend: BlendRecord) -> bool:
    judged = blend.measured.judged is not None
    return all(are_lost(folder, name, judged=judged) for name in (blend.key, *blend.stored_as))


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
