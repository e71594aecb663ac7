"""What an earlier run left in its journal: closed and queued once, rightly counted, left alone where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from toy_study import go, make_dataset

from gnas_search.closed_form import FilterSpec
from gnas_search.space import SearchSpace
from gnas_search.strategies.tally import FAMILY, INTERRUPTED, REJECTED, interrupted_numbers
from gnas_search.study import Limits, Study, records
from gnas_search.study.beginning import begin
from gnas_search.study.draws import Draws
from gnas_search.study.journal import writing
from gnas_search.study.metrics import metrics_path
from gnas_search.study.own_journal import add_ended, begin_trial
from gnas_search.study.plan import plan
from gnas_search.study.recovery import as_found_next, recover

FORBIDDEN = 12
SPACE = SearchSpace.from_json(
    {
        "filter": {
            "genes": {"rank": [4, 8, FORBIDDEN, 16]},
            "fixed": {"response": "ridge"},
            "start": [{"rank": 4}, {"rank": 16}],
        },
        "forbid": [{"kind": "filter", "rank": FORBIDDEN}],
    }
)
RESTRICTED = SPACE.restrict(make_dataset())
GENES = RESTRICTED.families["filter"].genes
RANK = "filter.rank"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    begin(tmp_path / "study", make_dataset(), space=SPACE, strategy="random", seed=None)
    return tmp_path / "study"


@pytest.fixture
def measured(tmp_path: Path) -> Study:
    """A study of one filter, which was measured."""
    return go(tmp_path / "study", trials=1, space=SPACE, strategy="random")


def facts(rank: int, **more: Any) -> dict[str, Any]:
    spec = RESTRICTED.read("filter", {RANK: rank})
    return {FAMILY: "filter", records.SPEC: spec.to_json(), records.STRATEGY: "random", **more}


def leave(folder: Path, *ranks: int, **more: Any) -> None:
    """Leave trials running, as a process does that is killed."""
    with writing(folder, ["maximize"]) as journal:
        for rank in ranks:
            begin_trial(journal, {RANK: rank}, GENES, facts(rank, **more))


def recovered(folder: Path) -> list[FrozenTrial]:
    """Let the next run recover the study; give its trials."""
    with writing(folder, ["maximize"]) as journal:
        recover(folder, Study.load(folder).header, journal, RESTRICTED)
        return journal.get_trials()


def next_draws(folder: Path) -> Draws:
    journal = as_found_next(folder, Study.load(folder).header, RESTRICTED)
    return Draws(journal, RESTRICTED, "random", 0, share_time=False)


def planned(folder: Path) -> dict[str, Any]:
    limits = Limits.of(10, None)
    return plan(make_dataset(), SPACE, strategy="random", seed=0, limits=limits, study=Study.load(folder))


def waiting(trials: list[FrozenTrial]) -> list[tuple[int, int]]:
    """Give rank and number of what is tried again, in order."""
    queued = [trial for trial in trials if trial.state == TrialState.WAITING]
    return [(trial.system_attrs["fixed_params"][RANK], trial.user_attrs[records.RETRY_OF]) for trial in queued]


def test_what_another_process_runs_is_left_to_it(folder: Path) -> None:
    """A dry run beside a running search, whose trials are on their way: nothing of it is tried twice."""
    leave(folder, 4)
    header = Study.load(folder).header
    with writing(folder, ["maximize"]):
        beside = as_found_next(folder, header, RESTRICTED)
        assert [trial.state for trial in beside.trials] == [TrialState.RUNNING]
        assert interrupted_numbers(beside) == set()
        assert planned(folder)["interrupted"] == 0
    found = as_found_next(folder, header, RESTRICTED)
    assert waiting(found.trials) == [(4, 0)]
    assert planned(folder)["interrupted"] == 1


def test_what_is_queued_already_is_not_queued_again(folder: Path) -> None:
    """The run before was killed after it had queued the first, and before that one was closed."""
    leave(folder, 8, 4)
    with writing(folder, ["maximize"]) as journal:
        journal.set_user_attr(INTERRUPTED, [0])
        journal.enqueue_trial({RANK: 8}, user_attrs={records.RETRY_OF: 0, **facts(8)})
    trials = recovered(folder)
    assert [trial.state for trial in trials[:2]] == [TrialState.FAIL, TrialState.FAIL]
    assert waiting(trials) == [(8, 0), (4, 1)]


def test_what_lost_its_metrics_is_queued_once_whatever_was_killed_meanwhile(
    measured: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run before had marked it, and no more."""
    (trial,) = measured.trials
    metrics_path(measured.folder, trial.key).write_bytes(b"")
    monkeypatch.setattr(optuna.Study, "enqueue_trial", _killed)
    with pytest.raises(KeyboardInterrupt):
        recovered(measured.folder)
    assert Study.load(measured.folder).trials[0].state == "interrupted"
    monkeypatch.undo()
    for _ in range(2):
        assert waiting(recovered(measured.folder)) == [(4, 0)]


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_rejected_one_that_waits_is_no_start_and_is_not_tried(folder: Path) -> None:
    """Another point was drawn in its place, as the strategy goes on from it; the next run rejects it anew."""
    leave(folder, FORBIDDEN, **{REJECTED: True})
    draws = next_draws(folder)
    starts = RESTRICTED.families["filter"].starts
    assert draws.starts_left("filter") == starts
    assert draws.second_tries() == []
    leave(folder, 4)
    draws = next_draws(folder)
    assert draws.starts_left("filter") == starts[1:]
    ((family, spec),) = draws.second_tries()
    assert isinstance(spec, FilterSpec)
    assert (family, spec.rank) == ("filter", 4)
    assert planned(folder)["interrupted"] == 1


def test_what_an_earlier_version_rejected_had_no_turn(folder: Path) -> None:
    """It did not mark these; strategies count them as drawn."""
    reason = {records.INFEASIBLE: "rank is 12"}
    with writing(folder, ["maximize"]) as journal:
        add_ended(journal, {RANK: FORBIDDEN}, GENES, facts(FORBIDDEN, **reason), [0.0])
        add_ended(journal, {RANK: FORBIDDEN}, GENES, facts(FORBIDDEN, **reason, **{REJECTED: True}), [0.0])
        add_ended(journal, {RANK: 8}, GENES, facts(8, **{records.REASON: "it broke"}), None)
    assert next_draws(folder).turns_had == 1


def test_a_second_try_of_a_known_model_takes_no_time(measured: Study) -> None:
    """It is a duplicate of what was measured."""
    leave(measured.folder, 4, 8)
    draws = next_draws(measured.folder)
    assert [spec.key() in draws.tried.known() for _, spec in draws.second_tries()] == [True, False]
    assert planned(measured.folder)["interrupted"] == 1
