"""What people are told while a search runs: the time until trials end, and what becomes of the blend."""

from __future__ import annotations

import io
import math
import time

import pytest
from rich.console import Console

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bootstrap import Interval
from gnas_search.closed_form import FilterSpec
from gnas_search.specs import BranchSpec
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.study import NDCG, Limits, Measurement, Trial
from gnas_search.supernet import Step
from gnas_serve.cli.search_progress import SearchProgress

ONE = Interval(0.1, 0.09, 0.11)


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
