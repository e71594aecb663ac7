"""The Pareto front: what no other is as good as in everything, where two times that differ little are equal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_search.study.front import undominated


class TestUndominated:
    def test_by_hand(self) -> None:
        points = [(3.0, 1.0), (1.0, 3.0), (2.0, 2.0), (1.0, 2.0), (3.0, 1.0)]
        assert undominated(points).tolist() == [True, True, True, False, True]

    @pytest.mark.parametrize("width", [1, 2, 4])
    def test_nothing_left_out_is_better_in_everything(self, width: int) -> None:
        points = np.random.default_rng(width).integers(0, 6, (60, width)).astype(float)
        best = undominated(points)
        for place, point in enumerate(points):
            better = ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
            assert best[place] == (not better)

    def test_what_differs_by_less_than_a_tie_is_equal(self) -> None:
        points = [(0.18, -100.0), (0.17, -85.0), (0.16, -79.0), (0.18, -119.0), (0.18, -126.0)]
        # The second is no quicker than the better first, the third is; equals within a tie stand side by side.
        assert undominated(points, [0.0, 0.2]).tolist() == [True, False, True, True, False]
        assert undominated(points).tolist() == [True, True, True, False, False]
        slower_and_smaller = [(0.18, -100.0, -9.0), (0.18, -110.0, -5.0)]
        assert undominated(slower_and_smaller, [0.0, 0.2, 0.0]).tolist() == [False, True]

    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.floats(-300.0, -1.0), st.floats(-300.0, -1.0)), min_size=1, max_size=40
        )
    )
    def test_however_many_are_tied_the_best_is_left(self, points: list[tuple[float, ...]]) -> None:
        chosen = undominated([list(point) for point in points], [0.0, 0.2, 0.2])
        assert chosen.any()
        best = max(point[0] for point in points)
        assert any(point[0] == best for point, is_best in zip(points, chosen, strict=True) if is_best)
