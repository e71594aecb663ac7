import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnas_serve.runtime.topk import top_k

# Few distinct values on purpose: ties are where selections differ.
_FEW = st.sampled_from([-np.inf, -1.5, -1e-40, -0.0, 0.0, 0.25, 3.0])
_scores = hnp.arrays(np.float32, st.integers(1, 60), elements=_FEW)


@given(scores=_scores, k=st.integers(1, 70))
def test_equals_a_full_sort_by_score_then_position(scores, k):
    expected = [p for p in sorted(range(len(scores)), key=lambda p: (-scores[p], p)) if scores[p] > -np.inf][:k]
    assert top_k(scores, k).tolist() == expected


@given(scores=_scores, k=st.integers(1, 70))
def test_float64_is_selected_by_the_same_rule(scores, k):
    assert top_k(scores.astype(np.float64), k).tolist() == top_k(scores, k).tolist()


@given(scores=_scores, k=st.integers(1, 30))
def test_a_longer_list_starts_with_the_shorter(scores, k):
    assert top_k(scores, k + 5)[:k].tolist() == top_k(scores, k).tolist()


@pytest.mark.parametrize("count", [64, 65, 300, 4096, 4097, 5000])
@pytest.mark.parametrize("kept", [1.0, 0.4, 0.03])
def test_of_many_with_equal_and_opposite_ones_too(count, kept):
    rng = np.random.default_rng(count)
    scores = rng.choice(np.array([-np.inf, -2.5, -1e-40, -0.0, 0.0, 1e-40, 1.0, 7.0], np.float32), count)
    scores[::3] = rng.standard_normal(len(scores[::3]))
    k = max(1, int(kept * count))
    expected = [p for p in sorted(range(count), key=lambda p: (-scores[p], p)) if scores[p] > -np.inf][:k]
    assert top_k(scores, k).tolist() == expected


def test_many_equal_scores_go_to_the_lower_positions():
    assert top_k(np.zeros(100_000, np.float32), 3).tolist() == [0, 1, 2]


def test_refuses_k_below_one():
    with pytest.raises(ValueError, match="k must be at least 1"):
        top_k(np.zeros(3, np.float32), 0)
