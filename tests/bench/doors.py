"""What an artifact is worth through its doors: every test user is asked over HTTP and over gRPC, and measured alike.

``python tests/bench/doors.py ARTIFACT DATA`` serves the artifact, asks for 20 items per test user through both doors,
and prints recall@20 and ndcg@20 of each, beside those of the artifact in this process and how many lists differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))
from served_process import Served

from gnas_search.data.splits import load_with_test
from gnas_search.evaluate import rank_metrics
from gnas_search.examinee import Examinee
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub

K, AT_A_TIME = 20, 50
Ask = Callable[[Sequence[Any]], list[list[Any]]]


def over_http(served: Served) -> Ask:
    def ask(users: Sequence[Any]) -> list[list[Any]]:
        queries = [{"user_id": user, "k": K} for user in users]
        results = served.http("/v1/recommend/batch", {"queries": queries})["results"]
        return [[item["item_id"] for item in one["items"]] for one in results]

    return ask


def over_grpc(channel: grpc.Channel) -> Ask:
    stub = RecommenderStub(channel)

    def ask(users: Sequence[Any]) -> list[list[Any]]:
        found = []
        for user in users:
            who = pb.Id(integer=user) if isinstance(user, int) else pb.Id(text=user)
            reply = stub.Recommend(pb.RecommendRequest(user_id=who, k=K), timeout=30)
            found.append([getattr(item.item_id, str(item.item_id.WhichOneof("value"))) for item in reply.items])
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
            with served.channel() as channel:
                doors = {"offline": in_process(examinee.model), "http": over_http(served), "grpc": over_grpc(channel)}
                for name, ask in doors.items():
                    spans = range(0, len(users), AT_A_TIME)
                    lists = [one for start in spans for one in ask(users[start : start + AT_A_TIME])]
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
