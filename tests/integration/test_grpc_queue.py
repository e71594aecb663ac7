"""What grpcio holds for us while we are busy is bounded: beyond, it ends calls itself, at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc_world
import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.runtime.query import Answer, Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.stages import Staged
from gnas_serve.service.cohort import MOST
from gnas_serve.service.proto import recommender_pb2 as pb

LEAST_PENDING, BEYOND = 512, 60
ENDED = BEYOND - MOST - 5  # those at the lanes and some others stand between its queue and us


class HeldRecommender:
    """A model that computes for as long as it is held, and with it the event loop."""

    def __init__(self, artifact: Path) -> None:
        self._real = Recommender.load(artifact)
        self.info, self.manifest = self._real.info, self._real.manifest
        self.is_held, self.may_go_on = threading.Event(), threading.Event()

    def recommend_staged(self, query: Query) -> Staged[Answer]:
        self.is_held.set()
        self.may_go_on.wait(30)
        return self._real.recommend_staged(query)


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[HeldRecommender]:
    found = HeldRecommender(write_tiny_artifact(tmp_path / "artifact"))
    yield found
    found.may_go_on.set()


@pytest.mark.parametrize(("max_in_flight", "pending"), [(8, LEAST_PENDING), (300, 600)])
def test_calls_beyond_it_are_ended_while_the_others_wait(
    recommender: HeldRecommender, max_in_flight: int, pending: int
) -> None:
    world = grpc_world.World(Path(), recommender, max_in_flight=max_in_flight)
    try:
        calls = [world.stub.Recommend.future(pb.RecommendRequest(k=1))]
        assert recommender.is_held.wait(10)
        calls += [world.stub.Recommend.future(pb.RecommendRequest(k=1)) for _ in range(pending + BEYOND)]
        deadline = time.monotonic() + 20
        while sum(call.done() for call in calls) < ENDED and time.monotonic() < deadline:
            time.sleep(0.02)
        assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.CANCELLED}  # nobody is answered yet
        recommender.may_go_on.set()
        codes = Counter(_code(call) for call in calls)
    finally:
        recommender.may_go_on.set()
        world.close()
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
    assert ENDED <= codes[grpc.StatusCode.CANCELLED] <= BEYOND
    assert codes[grpc.StatusCode.OK] >= 1


def _code(call: Any) -> grpc.StatusCode:
    with suppress(grpc.RpcError, grpc.FutureCancelledError):
        call.result(30)
    return call.code()
