"""What people are told while a search runs: the time until trials end, and what becomes of the blend."""

from __future__ import annotations

import io
import math
import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bootstrap import Interval
from gnas_search.closed_form import FilterSpec, PopularitySpec
from gnas_search.epoch import EpochResult
from gnas_search.expected_cost import Forecast
from gnas_search.specs import BlendSpec, BranchSpec, Share
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.study import NDCG, Baseline, BlendRecord, Finalist, Limits, Measurement, Objectives, Trial
from gnas_search.supernet import Step
from gnas_serve.cli.search_progress import SearchProgress

ONE = Interval(0.1, 0.09, 0.11)


NETWORK = ArchitectureSpec(layers=("gcn",), epochs=12)


def measured(value: float, **facts: Any) -> Measurement:
    own = Interval(value, value - 0.01, value + 0.01)
    return Measurement(own, own, 2.0, 0, **facts)


def network(number: int, value: float, **facts: Any) -> Trial:
    found = measured(value, epochs=12, best_epoch=2, history=({}, {}, {}), **facts)
    return Trial(number, facts.pop("state", "complete"), NETWORK, NETWORK.key(), found, "tpe", None, "")


def ended(spec: BranchSpec) -> Trial:
    return Trial(0, "complete", spec, spec.key(), Measurement(ONE, ONE, 2.0, 0), "tpe", None, "")


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(said: io.StringIO) -> SearchProgress:
    return SearchProgress(Console(file=said, width=200), Limits.of(None, 80.0), best=None, objectives=NDCG)


def test_the_time_left_is_that_until_trials_end(progress: SearchProgress, said: io.StringIO) -> None:
    """Of 80 s, the blend at the end takes 20 s."""
    for spec in (FilterSpec(), ArchitectureSpec(layers=("gcn",))):
        progress.trial_started(0, spec, 0, time.monotonic() + 60.4)
        progress.trial_ended(ended(spec))
    assert said.getvalue().count("| about 60 s left") == 2


def test_the_time_left_is_of_the_trials_left_where_their_number_alone_is_limited(said: io.StringIO) -> None:
    progress = SearchProgress(Console(file=said, width=200), Limits.of(5, None), best=None, objectives=NDCG)
    progress.trial_started(0, FilterSpec(), 0, None)
    progress.trial_ended(ended(FilterSpec()))
    assert "| about 8 s left" in said.getvalue()  # four trials of 2 s


@pytest.mark.parametrize(("trials", "left"), [(9, "about 8 s left"), (3, "about 2 s left"), (2, "about 2 s left")])
def test_slots_share_what_is_left(trials: int, left: str, said: io.StringIO) -> None:
    """Eight trials of 2 s take two slots 8 s; the last one has a slot to itself."""
    progress = SearchProgress(
        Console(file=said, width=200), Limits.of(trials, None), best=None, objectives=NDCG, slots=2
    )
    progress.trial_started(0, FilterSpec(), 0, None)
    progress.trial_ended(ended(FilterSpec()))
    assert f"| {left}" in said.getvalue()


def test_every_trial_has_a_line_that_says_how_it_went(said: io.StringIO) -> None:
    progress = SearchProgress(Console(file=said), Limits.of(99, None), best=0.25, objectives=NDCG)
    progress._time_left = lambda: ""  # type: ignore[method-assign]
    whole = network(0, 0.2)
    lines = [
        (whole, "trial 0: ndcg@20 0.2000 at epoch 2, 2.0 s | {} | best 0.2500"),
        (
            replace(network(1, 0.3), state="stopped"),
            "trial 1: ndcg@20 0.3000 at epoch 2, 2.0 s, stopped after 3 of 12 epochs | {} | best 0.3000",
        ),
        (
            replace(network(2, 0.1), state="cut"),
            "trial 2: ndcg@20 0.1000 at epoch 2, 2.0 s, cut after 3 of 12 epochs | {} | best 0.3000",
        ),
        (
            replace(whole, number=3, state="failed", measured=None, reason="ValueError: a bug"),
            "trial 3 failed: ValueError: a bug | {}",
        ),
        (replace(network(4, 0.9), state="infeasible", reason="too slow"), "trial 4 infeasible: too slow | {}"),
        (replace(whole, number=5, state="interrupted", measured=None), "trial 5 interrupted | {}"),
        (
            replace(ended(FilterSpec()), number=6),
            f"trial 6: ndcg@20 0.1000, 2.0 s | {FilterSpec().summary()} | best 0.3000",
        ),
        (replace(whole, number=7, state="failed", spec=None, measured=None, reason="lost"), "trial 7 failed: lost | "),
    ]
    for trial, _ in lines:
        progress.trial_ended(trial)
    assert said.getvalue().splitlines() == [line.format(NETWORK.summary()) for _, line in lines]


def test_trials_that_repeat_others_are_told_once_and_counted(progress: SearchProgress, said: io.StringIO) -> None:
    repeating = replace(ended(FilterSpec()), state="duplicate", measured=None, duplicate_of=4)
    for number in (5, 6, 7):
        progress.trial_ended(replace(repeating, number=number))
    assert said.getvalue() == "trial 5 repeats trial 4: not trained again\n"
    progress.trial_ended(ended(FilterSpec()))
    progress.trial_ended(replace(repeating, number=9))
    progress.blending(1.0)
    assert [line.split(":")[0] for line in said.getvalue().splitlines()] == [
        "trial 5 repeats trial 4",
        "so do 2 after it",
        "trial 0",
        "trial 9 repeats trial 4",  # by itself: none is said to follow
        "blending",
    ]


def test_several_objectives_are_told_and_one_that_is_the_better_the_lower_as_it_is(said: io.StringIO) -> None:
    objectives = Objectives.of(["log_loss", "coverage@20", "artifact_bytes"])
    values = {"log_loss": 0.5, "coverage@20": 0.25, "artifact_bytes": 12345.6}
    found = Measurement(ONE, ONE, 2.0, 0, values=values, judged=Interval(-0.5, -0.6, -0.4))
    progress = SearchProgress(Console(file=said), Limits.of(1, None), best=None, objectives=objectives)
    progress.trial_started(0, FilterSpec(), 0, None)
    progress.trial_ended(replace(ended(FilterSpec()), measured=found))
    told = "log_loss 0.5000, coverage@20 0.2500, artifact_bytes 12346, 2.0 s"
    assert said.getvalue() == f"trial 0: {told} | {FilterSpec().summary()} | best 0.5000\n"


def test_what_comes_before_and_after_the_trials_is_told(progress: SearchProgress, said: io.StringIO) -> None:
    one, other = network(3, 0.3), replace(network(5, 0.2), key="gnn-other")
    progress.baseline_measured(Baseline("popularity", PopularitySpec(), measured(0.05)))
    for epoch_s in (1.25, 0.00314, 123.4, 0.0):
        progress.forecast_made(NETWORK, Forecast(epoch_s, 3 << 30))
    progress.finalists_chosen(2, 4, 0.2)
    progress.finalist_repeated(one.key, 1, measured(0.34))
    progress.finalist_failed(other.key, 2, "MemoryError: ")
    assert one.measured is not None
    assert other.measured is not None
    progress.finalists_decided(
        (
            Finalist(one, (0, 1), (one.measured, measured(0.34))),
            Finalist(other, (0, 1), (other.measured, measured(0.22))),
        )
    )
    for late, trainings in ((1, 2), (0, 2)):
        progress.finalists_undecided(late, trainings)
    blend = BlendSpec((Share(FilterSpec(), 1.0), Share(PopularitySpec(), 0.1)))
    progress.blended((BlendRecord(blend, measured(0.4), 0.0, 5.0),))
    progress.blended(())
    assert said.getvalue().splitlines() == [
        "popularity: ndcg@20 0.0500, 2.0 s",
        *(f"forecast: {said} s per epoch, 3.0 GiB | {NETWORK.summary()}" for said in ("1.2", "0.0031", "123", "0.0")),
        "finalists: 2 networks again, 4 trainings from further seeds, about 1 s",
        f"finalist {one.key} from seed 1: ndcg@20 0.3400, 2.0 s",
        "finalist gnn-other from seed 2 failed: MemoryError: ",
        f"finalists: {one.key} is best: mean ndcg@20 0.3200 over 2 seeds; gnn-other 0.2100",
        "finalists: one seed decides: 1 of 2 trainings did not fit into the time",
        "finalists: one seed decides: there is no further one from which all were trained",
        f"blend: ndcg@20 0.4000, 2.0 s | {blend.summary()}",
        "blend: none is better than its best part",
    ]


def test_on_a_terminal_a_trial_shows_its_epochs_until_it_ends() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=200, force_terminal=True, color_system=None)
    with SearchProgress(console, Limits.of(3, None), best=0.25, objectives=NDCG) as progress:
        progress.trial_started(4, NETWORK, 0, time.monotonic() + 60.4)
        progress.epoch_ended(4, EpochResult(3, 0.5, 0.2, 0.01))
        progress._progress.refresh()
        assert f"trial 4: {NETWORK.summary()}" in shown.getvalue()
        assert "epoch 3, ndcg@20 0.2000, best 0.2500, about 60 s left" in shown.getvalue()
        assert (progress._progress.tasks[0].completed, progress._progress.tasks[0].total) == (3, 12)
        progress.trial_ended(network(4, 0.2))
        assert progress._progress.tasks == []


def test_a_baseline_that_is_left_out_is_told(progress: SearchProgress, said: io.StringIO) -> None:
    progress.baseline_left_out("svd", "training needs about 9.0 GiB of memory")
    assert said.getvalue() == "svd: left out: training needs about 9.0 GiB of memory\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_said_is_shown_as_it_is(terminal: bool, said: io.StringIO) -> None:
    """A reason may have brackets; and a line of a log is one line, however narrow a terminal would be."""
    console = Console(file=said, width=400 if terminal else 40, force_terminal=terminal, color_system=None)
    progress = SearchProgress(console, Limits.of(5, None), best=None, objectives=NDCG)
    progress.baseline_left_out("svd", "[data] has 12 columns [bold]of zeros[/bold], which leave nothing to decompose")
    shown = "svd: left out: [data] has 12 columns [bold]of zeros[/bold], which leave nothing to decompose"
    assert shown in said.getvalue().splitlines()


def test_a_blend_is_announced_with_what_it_will_take(progress: SearchProgress, said: io.StringIO) -> None:
    progress.blending(19.7)
    assert "blending: about 20 s" in said.getvalue()
    progress.blend_failed("LinAlgError: singular")
    assert "blend: failed: LinAlgError: singular" in said.getvalue()


def test_a_supernet_says_that_it_begins_and_what_it_found(progress: SearchProgress, said: io.StringIO) -> None:
    for step in (Step("epoch", 0, 8, math.nan), Step("epoch", 1, 8, 5.4), Step("network", 1, 100, 0.2)):
        progress.supernet_moved("one-shot", step)
    progress.supernet_ended("one-shot", Shortlist((Listed({}, 0.2031),), "", 8, 4, 2.3))
    assert said.getvalue().splitlines() == [
        "one-shot supernet: up to 8 epochs",
        "one-shot supernet: 8 epochs, 4 networks ranked, 2.3 s | 1 listed, the first ndcg@20 0.2031 by shared weights",
    ]
    progress.supernet_ended("darts", Shortlist(reason="no time"))
    assert said.getvalue().endswith("darts supernet: none: no time\n")


def test_on_a_terminal_a_supernet_shows_where_it_is() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=200, force_terminal=True)
    with SearchProgress(console, Limits.of(3, None), best=None, objectives=NDCG) as progress:
        progress.supernet_moved("one-shot", Step("epoch", 0, 8, math.nan))
        progress.supernet_moved("one-shot", Step("epoch", 3, 8, 5.4))
        progress._progress.refresh()
        assert "epoch 3 of 8, loss 5.4000" in shown.getvalue()
        progress.supernet_moved("one-shot", Step("network", 1, 100, 0.2))
        progress._progress.refresh()
        assert "network 1 of 100, best ndcg@20 0.2000 by shared weights" in shown.getvalue()
