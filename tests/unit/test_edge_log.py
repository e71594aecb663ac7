"""The log behind a graph's edges: merged per user, item and event, aged by what each fit may know."""

from __future__ import annotations

import numpy as np
import pytest
from written_logs import make

from gnas_search.architecture import ArchitectureSpec
from gnas_search.construction import constructed
from gnas_search.data.dataset import InteractionGraph
from gnas_search.data.splits import split
from gnas_search.graph_spec import GraphSpec


def entries(graph: InteractionGraph) -> list[tuple[int, int, int]]:
    """(user row, item row, code) of each entry."""
    assert graph.log is not None
    edges = graph.edges.tocoo()
    places = np.arange(graph.edges.nnz) if graph.log.places is None else graph.log.places
    codes = np.zeros(len(places)) if graph.log.codes is None else graph.log.codes
    return [(int(edges.row[p]), int(edges.col[p]), int(code)) for p, code in zip(places, codes, strict=True)]


def test_without_times_and_other_events_there_is_nothing_to_log() -> None:
    dataset, _ = split(make([(1, item) for item in range(10)]))
    assert dataset.selection.log is None
    assert dataset.final.log is None


def test_events_are_logged_once_per_user_and_item() -> None:
    rows = [(1, 10), (1, 11), (1, 12), (1, 10), (1, 10), (1, 20), (2, 11), (2, 10), (2, 12)]
    events = ["buy", "buy", "buy", "view", "view", "view", "buy", "cart", "buy"]
    parts = ["train", "train", "valid", *["train"] * 5, "valid"]
    dataset, _ = split(make(rows, events=events, parts=parts, target="buy"))
    log = dataset.selection.log
    assert log is not None
    assert (log.others, log.ages) == (("cart", "view"), None)
    assert log.codes is not None
    assert log.codes.dtype == np.int8
    # Items 10, 11, 12, 20 are rows 0 to 3.
    assert entries(dataset.selection) == [(0, 0, 0), (0, 0, 2), (0, 1, 0), (0, 3, 2), (1, 0, 1), (1, 1, 0)]
    assert entries(dataset.final) == [
        *[(0, 0, 0), (0, 0, 2), (0, 1, 0), (0, 2, 0), (0, 3, 2)],
        *[(1, 0, 1), (1, 1, 0), (1, 2, 0)],
    ]
    assert log.bringing() == ("cart", "view")
    target = log.of_target()
    assert (target.places, target.codes, target.others) == (None, None, ())


def test_an_event_that_brings_no_edge_of_its_own_is_not_named() -> None:
    rows = [(1, 10), (1, 11), (1, 12), (1, 10), (1, 20)]
    dataset, _ = split(
        make(
            rows,
            events=["buy", "buy", "buy", "cart", "view"],
            parts=["train", "train", "valid", "train", "train"],
            target="buy",
        )
    )
    assert dataset.selection.log is not None
    assert dataset.selection.log.others == ("cart", "view")
    assert dataset.selection.log.bringing() == ("view",)


def test_ages_count_back_from_what_each_fit_knows_in_one_unit() -> None:
    """Ten purchases at 0, 10, ... 90: eight train, one validation, one test."""
    dataset, _ = split(make([(1, item) for item in range(10)], times=[10.0 * item for item in range(10)]))
    selection, final = dataset.selection.log, dataset.final.log
    assert selection is not None
    assert final is not None
    assert (selection.places, selection.codes) == (None, None)
    # The span lies between the quantiles of .01 and .99 of 0 .. 70: ages beyond it keep their order, and do not count.
    early, late = np.quantile(np.arange(8) * 10.0, [0.01, 0.99])
    np.testing.assert_allclose(selection.ages, (late - np.arange(8) * 10.0) / (late - early), rtol=1e-5)
    assert selection.oldest == 1.0
    newest = np.quantile(np.arange(9) * 10.0, 0.99)
    np.testing.assert_allclose(final.ages, (newest - np.arange(9) * 10.0) / (late - early), rtol=1e-5)
    assert final.oldest == pytest.approx((newest - early) / (late - early))


def test_the_latest_edges_are_told_apart_to_the_end_of_the_log() -> None:
    """A newcomer whose whole history lies within the last hundredth of the times keeps his latest items."""
    rows = [(user, item) for user in range(60) for item in range(10)]
    times = [float(100 * item + user) for user, item in rows]
    order = [5, 2, 9, 0, 7, 4, 1, 8, 3, 6]
    rows += [(60, item) for item in order]
    times += [1000.0 + number for number in range(10)]
    dataset, _ = split(make(rows, times=times))
    graph, user = dataset.selection, len(dataset.users) - 1
    history = [item for item in order if graph.positives[user, item]]
    kept = constructed(ArchitectureSpec(graph=GraphSpec(max_degree=3)), graph).interactions[user].indices
    assert sorted(kept) == sorted(history[-3:])


def test_a_later_repeat_is_not_known_and_of_other_events_the_latest_known_counts() -> None:
    buys = [(1, item) for item in range(10)]
    rows = [*buys, (1, 0), (1, 0), (1, 0), (1, 0)]
    events = ["buy"] * 10 + ["buy", "view", "view", "view"]
    times = [*(float(time) for time in range(10)), 8.5, 2.0, 4.0, 8.7]
    dataset, _ = split(make(rows, events=events, times=times, target="buy"))
    for graph in (dataset.selection, dataset.final):
        log = graph.log
        assert log is not None
        assert log.ages is not None
        bought, viewed = (log.ages[i] for i, entry in enumerate(entries(graph)) if entry[1] == 0)
        fourth = next(log.ages[i] for i, entry in enumerate(entries(graph)) if entry[1] == 4)
        # The question of the selection fit is asked at 8.0, that of the final one at 9.0.
        assert viewed == fourth if graph is dataset.selection else viewed <= 0.0, "the view at 4.0, or at 8.7"
        assert bought == log.ages.max(), "bought first at 0, whatever came at 8.5"


def test_one_broken_clock_does_not_stretch_the_span() -> None:
    rows = [(user, item) for user in range(40) for item in range(10)]
    times = [1e9 + 1000.0 * item + 25.0 * user for user, item in rows]
    broken = [0.0, *times[1:-20], 4e18, *times[-19:]]
    sound, stretched = (split(make(rows, times=given))[0].selection.log for given in (times, broken))
    assert sound is not None
    assert stretched is not None
    assert sound.ages is not None
    assert stretched.ages is not None
    middle = [np.median(log.ages) for log in (sound, stretched)]
    assert middle[1] == pytest.approx(middle[0], abs=0.05)


@pytest.mark.parametrize("times", [[5.0] * 10, [-1.7e308, *[1.7e308] * 9]])
def test_times_that_give_no_span_are_no_ages(times: list[float]) -> None:
    dataset, _ = split(make([(1, item) for item in range(10)], times=times))
    assert dataset.selection.log is None
