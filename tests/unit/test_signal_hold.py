"""SignalHold: what asks to end waits, and comes."""

from __future__ import annotations

import signal
import threading

import pytest

from gnas_search.study.interruption import SignalHold


def test_what_comes_within_waits_for_the_end() -> None:
    written = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # where it is raised is the point
        with SignalHold():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # an impatient second one waits as well
            written.append("whole")
        written.append("unreachable")
    assert written == ["whole"]


def test_what_waits_comes_first_thing_when_released_and_the_rest_is_held_again() -> None:
    done = []

    def work() -> None:
        with SignalHold() as hold:
            signal.raise_signal(signal.SIGINT)
            try:
                with hold.released():
                    done.append("begun")
            finally:
                signal.raise_signal(signal.SIGINT)
                done.append("tidied")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["tidied"]


def test_a_released_block_is_interrupted_anywhere() -> None:
    def work() -> None:
        with SignalHold() as hold, hold.released():
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the block went on")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_where_nobody_handles_a_signal_it_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with SignalHold():
            signal.raise_signal(signal.SIGTERM)
            monkeypatch.setattr(signal, "raise_signal", raised.append)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised == [signal.SIGTERM]


def test_another_error_on_its_way_is_not_replaced() -> None:
    def work() -> None:
        with SignalHold():
            signal.raise_signal(signal.SIGINT)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        work()


def test_the_handlers_of_before_are_back() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with SignalHold() as hold, hold.released():
            signal.raise_signal(signal.SIGTERM)
        with SignalHold():
            signal.raise_signal(signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM] * 3


def test_in_another_thread_nothing_is_changed() -> None:
    found = []

    def work() -> None:
        with SignalHold() as hold, hold.released():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
