"""The latest event ids: exactly as many as there is room for, however they come."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnas_serve.feedback.window import DigestWindow


def digest(number, home):
    """A digest that wants one of few places, so that most collide."""
    return home.to_bytes(8, "little") + number.to_bytes(8, "little")


@given(
    capacity=st.integers(1, 9),
    numbers=st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0, 1, 2, 13, 14, 15, 31])), max_size=120),
)
def test_it_remembers_what_an_ordered_dict_would(capacity, numbers):
    window, model = DigestWindow(capacity), OrderedDict()
    for number, home in numbers:
        one = digest(number, home)
        assert (one in window) == (one in model)
        assert window.add(one) == (one not in model)
        model.setdefault(one)
        if len(model) > capacity:
            model.popitem(last=False)
        assert len(window) == len(model)
        assert all(other in window for other in model)
    gone = {digest(number, home) for number, home in numbers} - model.keys()
    assert not any(one in window for one in gone)


@pytest.mark.parametrize("capacity", [0, -1, 2**31])
def test_sizes_that_are_none(capacity):
    with pytest.raises(ValueError, match="a window of"):
        DigestWindow(capacity)
