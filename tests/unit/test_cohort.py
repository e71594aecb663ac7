"""Cohorts: who is there in one turn of the loop is answered before anybody's answer is laid out."""

from __future__ import annotations

import asyncio

import pytest

from gnas_serve.service.cohort import MOST, Cohorts


class Noted:
    """A member that notes its steps."""

    def __init__(self, name: int, steps: list[tuple[str, int]]) -> None:
        self._name = name
        self._steps = steps

    def compute(self) -> None:
        self._steps.append(("computed", self._name))

    def finish(self) -> None:
        self._steps.append(("finished", self._name))


def steps_of(counts: tuple[int, ...]) -> list[list[tuple[str, int]]]:
    """Let so many join in each of some turns; give what is done in each turn from the second on."""

    async def turns() -> list[list[tuple[str, int]]]:
        cohorts, done, name = Cohorts(), [], 0
        steps: list[tuple[str, int]] = []
        for count in (*counts, 0, 0, 0):
            for _ in range(count):
                cohorts.join(Noted(name, steps))
                name += 1
            before = len(steps)
            await asyncio.sleep(0)
            done.append(steps[before:])
        return done

    return asyncio.run(turns())


def together(*names: int) -> list[tuple[str, int]]:
    return [("computed", name) for name in names] + [("finished", name) for name in names]


def test_all_of_a_turn_take_each_step_together() -> None:
    assert steps_of((3, 0, 1, 2)) == [together(0, 1, 2), [], together(3), together(4, 5), [], [], []]


@pytest.mark.parametrize("count", [MOST, MOST + 1, 2 * MOST + 1])
def test_of_many_some_wait_for_the_next_turn(count: int) -> None:
    names = list(range(count))
    expected = [together(*names[start : start + MOST]) for start in (0, MOST, 2 * MOST)]
    assert steps_of((count,))[:3] == expected


def test_who_comes_while_others_still_wait_is_behind_them() -> None:
    first, second, third, *_ = steps_of((MOST + 2, 3))
    assert first == together(*range(MOST))
    assert second == together(MOST, MOST + 1, MOST + 2, MOST + 3, MOST + 4)
    assert third == []


def test_a_member_that_joins_as_another_finishes_is_of_the_next_turn() -> None:
    async def turns() -> list[tuple[str, int]]:
        cohorts = Cohorts()
        steps: list[tuple[str, int]] = []

        class Asks(Noted):
            def finish(self) -> None:
                super().finish()
                cohorts.join(Noted(2, steps))

        cohorts.join(Asks(0, steps))
        cohorts.join(Noted(1, steps))
        await asyncio.sleep(0)
        assert steps == together(0, 1)
        await asyncio.sleep(0)
        return steps

    assert asyncio.run(turns()) == together(0, 1) + together(2)


def test_whatever_happens_in_a_step_all_others_are_taken() -> None:
    async def turn() -> list[tuple[str, int]]:
        cohorts = Cohorts()
        steps: list[tuple[str, int]] = []

        class Fails(Noted):
            def compute(self) -> None:
                super().compute()
                raise asyncio.CancelledError

            def finish(self) -> None:
                super().finish()
                raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for member in (Noted(0, steps), Fails(1, steps), Noted(2, steps)):
            cohorts.join(member)
        await asyncio.sleep(0)
        return steps

    assert asyncio.run(turn()) == together(0, 1, 2)
