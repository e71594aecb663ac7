"""A study trains its supernet once, at its beginning, and goes on from its list whatever interrupts it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_study import SMALL, Ledger, ToySlot, go, interrupt, keys, make_dataset

from gnas_search.report import render
from gnas_search.space import SearchSpace
from gnas_search.space.points import random_point
from gnas_search.strategies import STRATEGIES
from gnas_search.strategies.shortlist import Listed
from gnas_search.study import Limits, Study, leaderboard, status
from gnas_search.study.beginning import begin
from gnas_search.study.draws import Draws
from gnas_search.study.driver import run
from gnas_search.study.journal import open_journal
from gnas_search.study.notes import notes
from gnas_search.study.phases import HYPERPARAMETERS
from gnas_search.study.reserve import Reserve
from gnas_search.study.supernet_phase import share_s
from gnas_search.study.turns import Turns
from gnas_search.supernet import SUPERNETS, Answer, Step, Survey, course, ranking, requirement
from gnas_serve.errors import IntegrityError, NoViableTrialError

SPACE = SearchSpace.from_json(
    {
        **SMALL,
        "fixed": {"init": "random", "epochs": 2, "batch_size": 32},
        "genes": {**SMALL["genes"], "num_layers": [1, 2, 3]},
    }
)
FIXED = {"init": "random", "epochs": 2, "batch_size": 32, "operator": "lightgcn", "embedding_dim": 8}
STARTS = [{"layers": ["lightgcn"] * depth, "embedding_dim": 8} for depth in (1, 2)]
WIDTHS = [
    {"num_layers": 1, "layer.0": "gcn", "layer.1": "gcn", "layer.2": "gcn", "embedding_dim": dim} for dim in (8, 16)
]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and rank a little: what is found is not what these tests are about."""
    monkeypatch.setattr(course, "LEAST_BATCHES", 8)
    monkeypatch.setattr(ranking, "RANKED", 16)


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Survey]:
    """Let the one-shot supernet answer at once."""
    asked: list[Survey] = []

    def found(survey: Survey) -> Answer:
        asked.append(survey)
        return answer(survey) if callable(answer) else answer

    monkeypatch.setitem(SUPERNETS, "one-shot", found)
    return asked


def given(survey: Survey) -> Answer:
    survey.heard(Step("epoch", 0, 3, 0.0))
    survey.heard(Step("epoch", 1, 3, 0.5))
    return Answer(tuple(Listed(point, 0.3 - place) for place, point in enumerate(WIDTHS)), 3, 7)


@pytest.mark.parametrize("strategy", sorted(SUPERNETS))
def test_the_list_is_made_once_and_tried_after_the_starts(strategy: str, tmp_path: Path) -> None:
    watcher = Ledger()
    study = go(tmp_path / "study", trials=4, space=SPACE, strategy=strategy, watcher=watcher)
    listed = study.shortlists[strategy].listed
    space = SPACE.restrict(make_dataset()).families["gnn"]
    found = [space.to_spec(one.point).key() for one in listed]
    assert len(found) == len(set(found)) > 3
    assert [trial.key for trial in study.trials] == [space.starts[0].key(), *found[:3]]
    assert {trial.strategy for trial in study.trials} == {strategy}
    assert watcher.shortlists == [study.shortlists[strategy]]
    stages = [stage for stage, _, _ in watcher.supernet]
    assert set(stages) == {"epoch", "network"}
    took = study.shortlists[strategy].seconds
    measured = [*(one for _, one in study.ranking), *study.repeats.values()]
    measured += [one.measured for one in study.baselines] + [one.measured for one in study.blends]
    assert status(study)["seconds"] == pytest.approx(sum(one.seconds for one in measured) + took, abs=1e-3)
    assert f"supernet of {strategy}</td>" in render(study).partition('id="time"')[2]
    again = Ledger()
    go(tmp_path / "study", trials=6, strategy=strategy, watcher=again)
    assert (again.supernet, again.shortlists) == ([], [])
    whole = go(tmp_path / "whole", trials=6, space=SPACE, strategy=strategy)
    assert keys(whole) == keys(Study.load(tmp_path / "study"))
    assert whole.shortlists[strategy].listed == listed


def test_interrupted_before_its_list_is_written_it_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(tmp_path / "whole", trials=5, space=SPACE, strategy="one-shot")
    folder = tmp_path / "study"

    class Impatient(Ledger):
        def supernet_moved(self, strategy: str, step: Any) -> None:
            super().supernet_moved(strategy, step)
            if step.stage == "network":
                interrupt()

    with pytest.raises(KeyboardInterrupt):
        go(folder, trials=5, space=SPACE, strategy="one-shot", watcher=Impatient())
    assert (Study.load(folder).shortlists, Study.load(folder).trials) == ({}, ())
    watcher = Ledger()
    assert keys(go(folder, trials=5, strategy="one-shot", watcher=watcher)) == keys(whole)
    assert watcher.supernet


@pytest.mark.parametrize("at", [1, 2])
def test_interrupted_afterwards_it_goes_on_with_the_list(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, given)
    whole = go(tmp_path / "whole", trials=5, space=SPACE, strategy="one-shot")
    folder = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        go(folder, trials=5, space=SPACE, strategy="one-shot", slots=ToySlot({at: interrupt}))
    assert keys(go(folder, trials=5, strategy="one-shot")) == keys(whole)
    assert len(asked) == 2


def test_another_strategy_has_none_and_a_later_one_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, given)
    study = go(tmp_path / "study", trials=3, space=SPACE, strategy="random")
    assert (asked, study.shortlists) == ([], {})
    study = go(tmp_path / "study", trials=3, strategy="one-shot")
    assert asked == []  # nothing would be tried
    study = go(tmp_path / "study", trials=4, strategy="one-shot")
    assert {trial.key for trial in study.trials[:3]} <= asked[0].known
    space = SPACE.restrict(make_dataset()).families["gnn"]
    assert study.trials[3].key == space.to_spec(WIDTHS[0]).key()


def test_it_gets_a_third_of_what_networks_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = []

    def timed(survey: Survey) -> Answer:
        left.append(None if survey.ends is None else survey.ends - time.monotonic())
        return given(survey)

    asked = answering(monkeypatch, timed)
    for number, limits in enumerate((Limits.of(2, 80.0), Limits(2, time.monotonic() + 80.0), Limits(2, None))):
        folder = tmp_path / str(number)
        begin(folder, make_dataset(), space=SPACE, strategy="one-shot", seed=None)
        run(folder, make_dataset(), Ledger(), limits=limits, slots=ToySlot())
    for survey in asked[:2]:
        assert survey.ends is not None
        assert survey.training_ends is not None
        assert survey.ends - survey.training_ends == pytest.approx(0.3 * 80.0 / 3, abs=0.5)
    assert left[:2] == [pytest.approx(80.0 / 3, abs=0.5)] * 2  # the space has nothing but networks
    assert share_s(60.0, ("filter", "two-hop", "gnn")) == pytest.approx(10.0)
    assert (left[2], asked[2].training_ends) == (None, None)


def test_its_list_is_tried_in_a_search_of_all_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the closed forms take: the phase of architectures is measured from the networks' starts on."""
    space = SearchSpace.load("standard")
    networks = space.restrict(make_dataset()).families["gnn"]
    rng = np.random.default_rng(0)
    points = [random_point(rng, networks.genes) for _ in range(12)]
    answering(monkeypatch, Answer(tuple(Listed(point, 0.3) for point in points), 3, 7))
    study = go(tmp_path / "study", trials=40, space=space, strategy="one-shot")
    asked = [trial for trial in study.trials if trial.kind == "gnn"]
    first = [trial.key for trial in asked if trial.phase != HYPERPARAMETERS]
    assert len(first) + sum(trial.phase == HYPERPARAMETERS for trial in asked) == len(asked) == 20
    listed = [networks.to_spec(point).key() for point in points]
    assert first[:3] == [start.key() for start in networks.starts]
    assert first[3:] == listed[: len(first) - 3]
    assert len(first) - 3 == pytest.approx(0.6 * 17, abs=1)


def test_without_a_trial_for_what_it_lists_it_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, Answer((), 5, 0))
    study = go(tmp_path / "study", trials=7, space=SearchSpace.load("standard"), strategy="one-shot")
    assert asked == []
    short = "the trials end before any network that it would list: give more --trials"
    assert f"one-shot goes on without a supernet: {short}" in notes(study)
    study = go(tmp_path / "study", trials=8, strategy="one-shot")
    assert len(asked) == 1


def test_interrupted_a_search_too_short_for_it_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draw that repeated a model leaves a trial more to the run that goes on, which the first could not know."""
    monkeypatch.setitem(STRATEGIES, "tpe", lambda finished, genes, seed: {n: g.choices[0] for n, g in genes.items()})
    starts = [{"layers": ["gcn"] * depth, "embedding_dim": 8} for depth in (1, 2, 3)]
    filters = {"genes": {"rank": [4, 8]}, "start": [{"rank": 4}]}
    space = SearchSpace.from_json({**SPACE.to_json(), "start": starts, "filter": filters})
    asked = answering(monkeypatch, given)
    whole = go(tmp_path / "whole", trials=5, space=space, strategy="one-shot")
    assert [trial.state for trial in whole.trials].index("duplicate") == 3
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "part", trials=5, space=space, strategy="one-shot", slots=ToySlot({3: interrupt}))
    again = go(tmp_path / "part", trials=5, strategy="one-shot")
    assert keys(again) == keys(whole)
    assert asked == []
    go(tmp_path / "part", trials=9, strategy="one-shot")  # more trials: it is looked at anew
    assert len(asked) == 1


def test_without_time_for_a_trial_it_is_not_trained_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run may have both."""
    asked = answering(monkeypatch, given)
    begin(tmp_path / "study", make_dataset(), space=SPACE, strategy="one-shot", seed=None)
    late = Limits(None, time.monotonic())
    study = run(tmp_path / "study", make_dataset(), Ledger(), limits=late, slots=ToySlot())
    assert (asked, study.shortlists, study.trials) == ([], {}, ())


def test_networks_are_charged_with_it() -> None:
    turns = Turns(["filter", "gnn"], {"filter": 10.0, "gnn": 15.0})
    assert turns.next(0, ["filter", "gnn"]) == "gnn"
    turns.charge("gnn", 10.0)
    assert turns.next(0, ["filter", "gnn"]) == "filter"
    rounds = Turns(["filter", "gnn"])
    before = [rounds.next(drawn, ["filter", "gnn"]) for drawn in range(4)]
    rounds.charge("gnn", 1000.0)
    assert [rounds.next(drawn, ["filter", "gnn"]) for drawn in range(4)] == before


def test_the_draws_are_charged_with_every_supernet_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[tuple[str, float]] = []
    monkeypatch.setattr(Draws, "charge", lambda _, family, seconds: charged.append((family, seconds)))
    monkeypatch.setitem(SUPERNETS, "darts", lambda survey: (time.sleep(0.05), given(survey))[1])
    answering(monkeypatch, lambda survey: (time.sleep(0.05), given(survey))[1])
    for trials, strategy in ((2, "one-shot"), (3, "darts"), (4, "random")):
        study = go(tmp_path / "study", trials=trials, space=SPACE if trials == 2 else None, strategy=strategy)
    seconds = [study.shortlists[name].seconds for name in ("one-shot", "darts")]
    assert min(seconds) >= 0.05
    assert charged == [("gnn", seconds[0]), ("gnn", sum(seconds)), ("gnn", sum(seconds))]


def test_without_memory_the_study_goes_on_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, watcher = tmp_path / "study", Ledger()
    with monkeypatch.context() as patched:
        patched.setattr(requirement, "available_bytes", lambda _: 1 << 20)
        study = go(folder, trials=3, space=SPACE, strategy="one-shot", watcher=watcher)
    assert len(keys(study)) == 3
    (said,) = notes(study)
    assert said.startswith("one-shot goes on without a supernet: the supernet needs about 0.")
    assert leaderboard(study)["notes"] == status(study)["notes"] == [said]
    assert watcher.shortlists[0].reason in said
    study = go(folder, trials=4, strategy="one-shot")  # there is memory by now
    assert notes(study) == []
    assert study.shortlists["one-shot"].listed


def test_reasons_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(_: Survey) -> Answer:
        raise NoViableTrialError("the supernet diverged in epoch 1: the loss is nan", hint="lower learning_rate")

    reasons = (
        (Answer((), 0, 0), "time ended before its first epoch: give a longer --budget"),
        (Answer((), 5, 0), "it found no network that is new"),
        (Answer((), 5, 0, cut_short=True), "time ended before it ranked any network: give a longer --budget"),
        (diverging, "the supernet diverged in epoch 1: the loss is nan"),
    )
    for number, (answer, reason) in enumerate(reasons):
        answering(monkeypatch, answer)
        study = go(tmp_path / str(number), trials=2, space=SPACE, strategy="one-shot")
        assert notes(study) == [f"one-shot goes on without a supernet: {reason}"]


def test_one_that_found_nothing_new_is_not_trained_again_and_every_attempt_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(answer: Answer) -> Any:
        return lambda _: (time.sleep(0.05), answer)[1]

    folder = tmp_path / "study"
    for trials, answer in enumerate((Answer((), 0, 0), Answer((), 5, 0, cut_short=True), Answer((), 5, 0)), start=2):
        asked = answering(monkeypatch, slow(answer))
        study = go(folder, trials=trials, space=None if folder.exists() else SPACE, strategy="one-shot")
        assert len(asked) == 1
        assert study.shortlists["one-shot"].seconds >= 0.05 * (trials - 1)
    asked = answering(monkeypatch, given)
    assert go(folder, trials=5, strategy="one-shot").shortlists == study.shortlists
    assert asked == []


@pytest.mark.parametrize("strategy", sorted(SUPERNETS))
def test_in_a_space_that_was_tried_whole_it_finds_nothing_and_is_trained_once(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, trained = tmp_path / "study", []
    both = SearchSpace.from_json({**SPACE.to_json(), "genes": {"num_layers": [1, 2]}, "fixed": FIXED, "start": STARTS})
    supernet = SUPERNETS[strategy]
    monkeypatch.setitem(SUPERNETS, strategy, lambda survey: (trained.append(survey), supernet(survey))[1])
    go(folder, trials=1, space=both, strategy="random")
    for _ in range(2):
        study = go(folder, trials=9, strategy=strategy)
        assert len(keys(study)) == 2
        assert notes(study) == [
            "every model of the space was tried",
            f"{strategy} goes on without a supernet: it found no network that is new",
        ]
    assert len(trained) == 1


def test_it_leaves_the_blend_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, given)
    monkeypatch.setattr(Reserve, "blend_s", 8.0)
    began = time.monotonic() - 50.0
    begin(tmp_path / "study", make_dataset(), space=SPACE, strategy="one-shot", seed=None)
    limits = Limits(2, began + 60.0, 20.0, 60.0, began)
    run(tmp_path / "study", make_dataset(), Ledger(), limits=limits, slots=ToySlot())
    assert asked[0].ends is not None
    assert asked[0].ends - began == pytest.approx(50.0 + 2.0 / 3, abs=0.5)


def test_a_space_without_networks_has_no_supernet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, given)
    space = SearchSpace.from_json(
        {"filter": {"genes": {"rank": [4, 8, 16]}, "fixed": {"response": "ideal"}, "start": [{"rank": 8}]}}
    )
    study = go(tmp_path / "study", trials=2, space=space, strategy="one-shot")
    assert (asked, study.shortlists, len(keys(study))) == ([], {}, 2)


def test_a_bug_in_it_is_no_reason_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Survey) -> Answer:
        raise ValueError("a bug")

    answering(monkeypatch, broken)
    with pytest.raises(ValueError, match="a bug"):
        go(tmp_path / "study", trials=2, space=SPACE, strategy="one-shot")


def test_a_damaged_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, given)
    go(tmp_path / "study", trials=2, space=SPACE, strategy="one-shot")
    open_journal(tmp_path / "study", create=False).set_user_attr("shortlist.one-shot", {"listed": [{"ndcg": 1.0}]})
    with pytest.raises(IntegrityError, match="a shortlist is unreadable"):
        Study.load(tmp_path / "study").shortlists  # noqa: B018


def test_the_phase_is_part_of_the_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while the supernet is trained ends the run there, not after it."""
    import os
    import signal

    def signalled(survey: Survey) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5.0)
        went_on.append(survey)
        return given(survey)

    went_on: list[Survey] = []
    answering(monkeypatch, signalled)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "study", trials=2, space=SPACE, strategy="one-shot")
    assert went_on == []
    assert Study.load(tmp_path / "study").shortlists == {}
