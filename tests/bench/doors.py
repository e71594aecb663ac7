"""What an artifact is worth through its doors: every test user is asked over HTTP and over gRPC, and measured alike.

``python tests/bench/doors.py ARTIFACT DATA`` serves the artifact, asks for 20 items per test user through both doors,
and prints recall@20 and ndcg@20 of each, beside those of the artifact in this process and how many lists differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from served_process import Served

from gnas_search.data.splits import load_with_test
from gnas_search.evaluate import rank_metrics
from gnas_search.examinee import Examinee
from gnas_serve.load.grpc_door import GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.lane import Door, Lane
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

K, CONNECTIONS = 20, 4
Ask = Callable[[Sequence[Any]], list[list[Any]]]


def through(door: Door) -> Ask:
    """Ask with the client of ``gnas-serve bench``, by some connections at once."""

    def ask(users: Sequence[Any]) -> list[list[Any]]:
        found: list[list[Any]] = [[] for _ in users]
        places = iter(range(len(users)))

        async def ask_on(lane: Lane) -> None:
            try:
                for place in places:
                    reply = await lane.ask(door.question(users[place], K))
                    if not reply.is_answer:
                        raise SystemExit(f"{door.address}: {reply.status} for user {users[place]!r}")
                    found[place] = door.read(reply.body).item_ids
            finally:
                await lane.close()

        async def all_at_once() -> None:
            await asyncio.gather(*(ask_on(door.lane()) for _ in range(CONNECTIONS)))

        asyncio.run(all_at_once())
        return found

    return ask


def in_process(recommender: Recommender) -> Ask:
    return lambda users: [list(recommender.recommend(Query(user_id=user, k=K)).item_ids) for user in users]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("artifact", type=Path)
    options.add_argument("data", type=Path)
    given = options.parse_args()
    examinee = Examinee.load(given.artifact)
    assert isinstance(examinee.model, Recommender)
    dataset, test = load_with_test(given.data, examinee.config)
    users = test.user_ids
    offline: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        served = Served(str(given.artifact.absolute()), Path(folder) / "served")
        try:
            doors = {
                "offline": in_process(examinee.model),
                "http": through(HttpDoor("127.0.0.1", served.http_port)),
                "grpc": through(GrpcDoor("127.0.0.1", served.grpc_port)),
            }
            for name, ask in doors.items():
                lists = ask(users)
                tops = [dataset.items.rows(one) for one in lists]
                recall, ndcg = rank_metrics(tops, test.relevant, test.num_relevant, k=K).mean()
                differ = sum(one != other for one, other in zip(lists, offline or lists, strict=True))
                offline = offline or lists
                said = {"door": name, "users": len(users), "recall@20": recall, "ndcg@20": ndcg, "differ": differ}
                print(json.dumps(said), flush=True)
        finally:
            served.stop()


if __name__ == "__main__":
    main()
