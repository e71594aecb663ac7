"""Cohorts: those who are there in one turn of the loop take each stage together, and then are laid out."""

from __future__ import annotations

import asyncio

import pytest

from gnas_serve.runtime.stages import Staged
from gnas_serve.service.cohort import MOST, Cohorts


class Noted:
    """A member that notes its steps."""

    def __init__(self, name: int, steps: list[tuple[str, int]], stages: int = 1) -> None:
        self._name = name
        self._steps = steps
        self._stages = stages

    @property
    def staged(self) -> Staged[None]:
        for stage in range(self._stages):
            self._steps.append(("advanced", self._name))
            if stage + 1 < self._stages:
                yield "rank"

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
    return [("advanced", name) for name in names] + [("finished", name) for name in names]


def test_all_of_a_turn_take_each_step_together() -> None:
    assert steps_of((3, 0, 1, 2)) == [together(0, 1, 2), [], together(3), together(4, 5), [], [], []]


def test_each_takes_the_stages_that_it_has() -> None:
    async def turn() -> list[tuple[str, int]]:
        cohorts = Cohorts()
        steps: list[tuple[str, int]] = []
        for name, stages in enumerate((3, 1, 2)):
            cohorts.join(Noted(name, steps, stages))
        await asyncio.sleep(0)
        return steps

    rounds = [*together(0, 1, 2)[:3], ("advanced", 0), ("advanced", 2), ("advanced", 0)]
    assert asyncio.run(turn()) == rounds + together(0, 1, 2)[3:]


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
            @property
            def staged(self) -> Staged[None]:
                yield from super().staged
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


class TestAwaited:
    """What tasks wait for is found as what callbacks join for."""

    def found(self, *questions: Staged[str]) -> list[str | BaseException]:
        """Let a task ask each; give what they got."""

        async def turn() -> list[str | BaseException]:
            cohorts = Cohorts()
            return await asyncio.gather(*(cohorts.answer(one) for one in questions), return_exceptions=True)

        return asyncio.run(turn())

    def stages(self, name: str, notes: list[str]) -> Staged[str]:
        for stage in range(2):
            notes.append(f"{name}{stage}")
            yield "retrieve"
        return f"answer {name}"

    def failing(self, error: BaseException) -> Staged[str]:
        yield "retrieve"
        raise error

    def test_stages_are_taken_together(self) -> None:
        notes: list[str] = []
        assert self.found(self.stages("a", notes), self.stages("b", notes)) == ["answer a", "answer b"]
        assert notes == ["a0", "b0", "a1", "b1"]

    def test_an_error_is_that_of_the_task_alone(self) -> None:
        broken, other = self.found(self.failing(ZeroDivisionError()), self.stages("b", []))
        assert isinstance(broken, ZeroDivisionError)
        assert other == "answer b"

    def test_what_is_stopped_leaves_nobody_waiting(self, caplog: pytest.LogCaptureFixture) -> None:
        broken, other = self.found(self.failing(asyncio.CancelledError()), self.stages("b", []))
        assert isinstance(broken, RuntimeError)
        assert other == "answer b"
        assert "Exception in callback" in caplog.text

    def test_what_nobody_waits_for_any_more_is_not_found(self) -> None:
        async def turn() -> list[str]:
            cohorts = Cohorts()
            notes: list[str] = []
            leaving = asyncio.ensure_future(cohorts.answer(self.stages("a", notes)))
            staying = asyncio.ensure_future(cohorts.answer(self.stages("b", notes)))
            asyncio.get_running_loop().call_soon(leaving.cancel)
            assert await staying == "answer b"
            assert leaving.cancelled()
            return notes

        assert asyncio.run(turn()) == ["b0", "b1"]
