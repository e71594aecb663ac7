"""A shadow that fails, refuses or is slow: counted, never in the way, and nobody's id in the log."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from front_world import World
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import RequestError
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.logs import JsonFormatter
from gnas_serve.service.shadow import MOST_WAITING
from gnas_serve.service.variants import Variants

USER, ITEM = "user-0007", "item-0003"


class Shadow:
    """A model that does something else than to answer."""

    def __init__(self, recommender: Recommender, act: Callable[[Query], None]) -> None:
        self.info = recommender.info
        self._recommender, self._act = recommender, act

    def recommend(self, query: Query) -> Answer:
        self._act(query)
        return self._recommender.recommend(query)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("shadow") / "artifact", text_ids=True)


def shadowed(artifact: Path, act: Callable[[Query], None]) -> World:
    world = World(artifact)
    shadow: Any = Shadow(world.recommender, act)
    world.calls.serve(Variants.of(world.recommender, shadow=shadow))
    return world


def play(world: World, times: int, meanwhile: Callable[[], Awaitable[None]]) -> list[int]:
    """Ask, and let something happen before the loop ends."""

    async def run() -> list[int]:
        async with world.client() as client:
            asked = {"user_id": USER, "history": [ITEM]}
            replies = [await client.post("/v1/recommend", json=asked) for _ in range(times)]
            await meanwhile()
            return [reply.status_code for reply in replies]

    return asyncio.run(run())


def unanswered(world: World) -> dict[str, float]:
    name = "gnas_serve_shadow_unanswered_total"
    return {reason: world.metric(name, reason=reason) or 0 for reason in ("busy", "failed", "refused")}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)


def test_one_that_fails_is_counted_and_logged_without_an_id(artifact: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(query: Query) -> None:
        raise KeyError(query.user_id, *query.history)

    world = shadowed(artifact, fail)
    times = MOST_WAITING + 6  # each makes room again
    statuses = play(world, times, lambda: until(lambda: unanswered(world)["failed"] == times))
    gc.collect()  # a task whose error nobody took would say so now, in asyncio's words
    assert statuses == [200] * times
    assert unanswered(world) == {"busy": 0, "failed": times, "refused": 0}
    assert world.metric("gnas_serve_shadow_overlap_ratio_count") == 0
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert {json.loads(line)["message"] for line in lines} == {"the shadow failed"}
    assert json.loads(lines[0])["exception"]["type"] == "KeyError"
    assert not any(USER in line or ITEM in line for line in lines)


def test_one_that_has_not_what_is_asked_for_is_no_failure(artifact: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_query: Query) -> None:
        raise RequestError("it has no attributes", code="no_attributes")

    world = shadowed(artifact, refuse)
    assert play(world, 3, lambda: until(lambda: unanswered(world)["refused"] == 3)) == [200] * 3
    assert unanswered(world) == {"busy": 0, "failed": 0, "refused": 3}
    assert caplog.text == ""


def test_one_that_is_slow_holds_up_nobody(artifact: Path) -> None:
    may_go_on = threading.Event()
    world = shadowed(artifact, lambda _query: may_go_on.wait(20) and None)

    async def meanwhile() -> None:
        may_go_on.set()
        await until(lambda: world.metric("gnas_serve_shadow_overlap_ratio_count") == MOST_WAITING)

    assert play(world, MOST_WAITING + 6, meanwhile) == [200] * (MOST_WAITING + 6)
    assert unanswered(world) == {"busy": 6, "failed": 0, "refused": 0}
    assert world.metric("gnas_serve_shadow_overlap_ratio_sum") == MOST_WAITING  # it is the same model
