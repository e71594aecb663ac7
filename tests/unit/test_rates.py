import pytest

from gnas_serve.service.errors import RateLimitedError
from gnas_serve.service.rates import MOST_CALLERS, Rates


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def _let_in(rates, caller, count):
    allowed = 0
    for _ in range(count):
        try:
            rates.take(caller)
            allowed += 1
        except RateLimitedError:
            pass
    return allowed


def test_a_burst_then_the_rate(clock):
    rates = Rates(10.0, 5, clock)
    assert _let_in(rates, "a", 9) == 5
    clock.now += 0.31
    assert _let_in(rates, "a", 9) == 3
    clock.now += 60.0
    assert _let_in(rates, "a", 9) == 5, "a pause fills the bucket, and no more than that"


def test_over_time_it_is_the_rate(clock):
    rates = Rates(4.0, 1, clock)
    allowed = 0
    for _ in range(1000):
        allowed += _let_in(rates, "a", 1)
        clock.now += 0.01
    assert allowed == pytest.approx(40, abs=1)


def test_callers_do_not_take_from_each_other(clock):
    rates = Rates(1.0, 2, clock)
    assert _let_in(rates, "a", 5) == 2
    assert _let_in(rates, "b", 5) == 2


def test_it_says_when_to_come_again(clock):
    rates = Rates(0.25, 1, clock)
    rates.take("a")
    clock.now += 1.0
    with pytest.raises(RateLimitedError) as refused:
        rates.take("a")
    assert refused.value.wait_s == 3
    clock.now += 3.0
    rates.take("a")


def test_no_limit():
    assert _let_in(Rates(0.0, 1), "a", 1000) == 1000


def test_memory_is_bounded_by_forgetting_the_oldest(clock):
    rates = Rates(1.0, 1, clock)
    for caller in range(MOST_CALLERS + 5):
        rates.take(str(caller))
    assert _let_in(rates, str(MOST_CALLERS + 4), 1) == 0
    assert _let_in(rates, "0", 1) == 1  # forgotten
