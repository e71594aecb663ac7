import asyncio

import pytest

from gnas_serve.service.deadline import within


async def at_once() -> int:
    return 7


async def after(*waits_s: float) -> int:
    for wait_s in waits_s:
        await asyncio.sleep(wait_s)
    return 7


def test_what_is_there_at_once_is_given_without_a_turn_of_the_loop():
    async def run() -> tuple[int, bool]:
        turned: list[int] = []
        asyncio.get_running_loop().call_soon(turned.append, 1)
        return await within(0.0, at_once()), not turned

    assert asyncio.run(run()) == (7, True)


@pytest.mark.parametrize("waits_s", [(0.0,), (0.01,), (0.0, 0.01, 0.0)])
def test_what_waits_is_waited_for(waits_s):
    assert asyncio.run(within(5.0, after(*waits_s))) == 7


def test_what_waits_for_a_thread_or_a_task_is_waited_for():
    async def both() -> int:
        return await asyncio.to_thread(lambda: 3) + await asyncio.ensure_future(at_once())

    assert asyncio.run(within(5.0, both())) == 10


def test_what_takes_too_long_is_ended_and_tidies_up():
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("tidied")

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.01, work()))
    assert ended == ["tidied"]


def test_many_short_waits_are_too_long_together():
    with pytest.raises(TimeoutError):
        asyncio.run(within(0.05, after(*[0.01] * 100)))


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
def test_an_error_is_the_coroutines_own(wait_s):
    async def fails() -> None:
        await asyncio.sleep(wait_s)
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        asyncio.run(within(5.0, fails()))


def test_an_error_at_once_is_told_at_once():
    async def fails() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        asyncio.run(within(5.0, fails()))


def test_a_cancellation_reaches_the_coroutine_and_is_no_timeout():
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        task = asyncio.ensure_future(within(30.0, work()))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert seen == ["cancelled"]


def test_a_coroutine_may_recover_from_a_cancellation_of_its_own():
    async def work() -> int:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.cancel)
        try:
            await future
        except asyncio.CancelledError:
            return await after(0.0)
        return 0

    assert asyncio.run(within(5.0, work())) == 7
