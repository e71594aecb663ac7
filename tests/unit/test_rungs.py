"""A network goes on where enough of those that came as far were no better, and the best always does."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gnas_search.study.rungs import ETA, LEAST, RUNGS, Rungs


def heard(*best: float, epochs: int = 12) -> Rungs:
    """Give rungs that trainings of a constant quality have passed."""
    rungs = Rungs()
    for ndcg in best:
        rungs.hear(epochs, [ndcg] * epochs)
    return rungs


def test_the_first_few_are_not_stopped() -> None:
    assert heard(0.9, 0.8).goes_on(12, [0.1] * 3)
    assert not heard(0.9, 0.8, 0.7).goes_on(12, [0.1] * 3)


def test_one_that_is_far_behind_at_half_of_its_epochs_is_stopped_however_few_there_are() -> None:
    rungs = heard(0.5)
    assert rungs.goes_on(12, [0.1] * 3)  # at a quarter much can still happen
    assert not rungs.goes_on(12, [0.42] * 6)
    assert rungs.goes_on(12, [0.43] * 6)
    minimised = heard(-0.5)  # of a metric that is the better the lower
    assert not minimised.goes_on(12, [-0.58] * 6)
    assert minimised.goes_on(12, [-0.57] * 6)


def test_one_of_two_goes_on() -> None:
    rungs = heard(0.1, 0.2, 0.3, 0.4, 0.5)  # the sixth has to be among three
    assert rungs.goes_on(12, [0.35] * 3)
    assert not rungs.goes_on(12, [0.25] * 3)


def test_nothing_is_decided_between_rungs_or_at_the_end() -> None:
    rungs = heard(0.5, 0.5, 0.5, 0.5)
    stopped = [epoch for epoch in range(1, 13) if not rungs.goes_on(12, [0.1] * epoch)]
    assert stopped == [3, 6]
    assert rungs.goes_on(1, [0.1])


def test_rungs_are_shares_of_a_training_however_long() -> None:
    rungs = heard(0.5, 0.5, 0.5, epochs=40)
    assert [epoch for epoch in range(1, 5) if not rungs.goes_on(4, [0.1] * epoch)] == [1, 2]


def test_the_best_epoch_so_far_counts() -> None:
    rungs = heard(0.5, 0.5, 0.5)
    assert rungs.goes_on(12, [0.5, 0.2, 0.1])


def test_a_training_that_ended_early_is_none_at_later_rungs() -> None:
    rungs = Rungs()
    for _ in range(3):
        rungs.hear(12, [0.5] * 4)
    assert not rungs.goes_on(12, [0.1] * 3)
    assert rungs.goes_on(12, [0.1] * 6)


_VALUES = st.sampled_from([number / 10 for number in range(11)])  # equal ones among them


@given(st.lists(st.lists(_VALUES, min_size=8, max_size=8), min_size=LEAST, max_size=30))
@example([[0.5] * 8] * LEAST)
@example([*([[0.2] * 8] * LEAST), [0.1] * 8, [0.9] * 8])
def test_no_stopped_training_is_the_best_of_all(curves: list[list[float]]) -> None:
    """Whoever is stopped, somebody who came as far before was better there."""
    rungs = Rungs()
    found: list[tuple[float, bool]] = []
    ended: list[list[float]] = []
    for curve in curves:
        done = next((n for n in range(1, 9) if not rungs.goes_on(8, curve[:n])), 8)
        best = max(curve[:done])
        assert done == 8 or any(max(other[:done]) > best for other in ended if len(other) >= done)
        rungs.hear(8, curve[:done])
        ended.append(curve[:done])
        found.append((best, done < 8))
    best = max(value for value, _ in found)
    assert not all(stopped for value, stopped in found if value == best)


def test_the_first_rung_is_where_ranking_says_something() -> None:
    assert all(0.25 <= share <= 0.5 for share in RUNGS)
    assert ETA >= 2
    assert LEAST >= ETA
