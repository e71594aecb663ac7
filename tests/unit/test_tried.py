"""What a study has tried, read while its trials end."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from gnas_search.closed_form import TwoHopSpec
from gnas_search.strategies.tally import FAMILY, INTERRUPTED, REJECTED
from gnas_search.study import records
from gnas_search.study.tried import Tried

SPECS = [TwoHopSpec(neighbours=count) for count in (10, 20, 30)]
KEYS = [spec.key() for spec in SPECS]


@pytest.fixture
def journal() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


def add(journal: optuna.Study, spec: TwoHopSpec, state: TrialState = TrialState.COMPLETE, **facts: Any) -> int:
    """Add a trial of a model; give its number."""
    attributes = {FAMILY: "two-hop", records.SPEC: spec.to_json(), **facts}
    values = [0.1] if state == TrialState.COMPLETE else None
    journal.add_trial(create_trial(state=state, values=values, user_attrs=attributes))
    return len(journal.get_trials(deepcopy=False)) - 1


def end(journal: optuna.Study, number: int) -> None:
    journal._storage.set_trial_state_values(number, TrialState.COMPLETE, [0.1])


def test_a_model_is_known_once_its_trial_has_ended(journal: optuna.Study) -> None:
    tried = Tried(journal)
    first, second = (add(journal, spec, TrialState.RUNNING) for spec in SPECS[:2])
    tried.begin(first, KEYS[0])  # the other one was begun by another process: its key is read
    assert tried.known() == {}
    end(journal, second)
    assert list(tried.known()) == KEYS[1:2]
    end(journal, first)
    assert {key: trial.number for key, trial in tried.known().items()} == {KEYS[1]: second, KEYS[0]: first}
    assert tried.numbers() == [first, second]  # as they were drawn, not as they ended


def test_of_two_trials_of_a_model_the_later_one_speaks_for_it(journal: optuna.Study) -> None:
    tried = Tried(journal)
    add(journal, SPECS[0], TrialState.FAIL)
    assert tried.numbers() == [0]
    again = add(journal, SPECS[0])
    assert tried.known()[KEYS[0]].number == again
    assert tried.numbers() == [again]


def test_what_was_stopped_rejected_or_a_repetition_measured_nothing(journal: optuna.Study) -> None:
    add(journal, SPECS[0])
    add(journal, SPECS[0], **{records.DUPLICATE_OF: 0})
    add(journal, SPECS[1], **{records.INFEASIBLE: "too large"})  # by a version that did not mark what it rejected
    add(journal, SPECS[1], **{records.INFEASIBLE: "too large", REJECTED: True})
    stopped = add(journal, SPECS[2], TrialState.FAIL)
    journal.set_user_attr(INTERRUPTED, [stopped])
    tried = Tried(journal)
    assert list(tried.known()) == KEYS[:1]
    assert tried.counted() == 1


def test_a_model_that_was_measured_and_then_broke_a_rule_is_known(journal: optuna.Study) -> None:
    add(journal, SPECS[0], **{records.INFEASIBLE: "too slow", records.MEASURED: {}})
    tried = Tried(journal)
    assert list(tried.known()) == KEYS[:1]
    assert tried.counted() == 0


def test_repeats_are_the_latest_in_a_row_of_one_family(journal: optuna.Study) -> None:
    tried = Tried(journal)
    assert tried.repeats("two-hop") == 0
    again = {records.DUPLICATE_OF: 0}
    for facts in ({}, again, {}, again, again, {**again, FAMILY: "filter"}):
        add(journal, SPECS[0], **facts)
    journal.set_user_attr(INTERRUPTED, [add(journal, SPECS[1], TrialState.FAIL)])  # counts for neither
    assert tried.repeats("two-hop") == 2
    assert tried.repeats("filter") == 1
