import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.runtime.seen import is_among, united

rows = st.sets(st.integers(0, 60)).map(lambda found: np.array(sorted(found), dtype=np.int64))


@given(rows, rows)
def test_united_is_the_ascending_union(one, other):
    found = united(one, other)
    assert found.dtype == np.int64
    assert found.tolist() == sorted({*one.tolist(), *other.tolist()})


@given(rows, rows)
def test_among_is_membership(one, other):
    assert is_among(one, other).tolist() == [row in set(other.tolist()) for row in one.tolist()]


def test_the_rows_of_histories_are_united_too():
    assert united(np.array([3, 5], dtype=np.int32), np.array([4], dtype=np.int64)).tolist() == [3, 4, 5]
