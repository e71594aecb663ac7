"""The HTTP front in process: every call, what surrounds them, metrics."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from front_world import JSON, BrokenRecommender, World
from tiny_artifact import write_blended_artifact, write_tiny_artifact

from gnas_serve.runtime.query import Answer, ItemFeatures, Query
from gnas_serve.runtime.recommender import Recommender


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("http") / "artifact")


@pytest.fixture(scope="module")
def world(artifact: Path) -> World:
    return World(artifact)


@pytest.fixture(scope="module")
def text_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(write_tiny_artifact(tmp_path_factory.mktemp("text") / "artifact", text_ids=True))


class TestAnswers:
    def test_recommend_is_the_runtimes_answer(self, world: World) -> None:
        reply = world.post("/v1/recommend", {"user_id": 1007, "k": 5})
        answer = world.recommender.recommend(Query(1007, 5))
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.json() == {
            "items": [
                {"item_id": item_id, "score": score, "source": "user"}
                for item_id, score in zip(answer.item_ids, answer.scores, strict=True)
            ],
            "underfilled": False,
            "model": {"name": "tiny", "version": "test-0"},
        }

    @pytest.mark.parametrize(
        ("body", "source"),
        [
            ({"user_id": 1007}, "user"),
            ({"user_id": "1007"}, "user"),
            ({"user_id": 999_999, "history": [2001, 2002]}, "fold_in"),
            ({"history": ["2001"]}, "fold_in"),
            ({"history": [31, "nothing"]}, "popularity"),
            ({"user_id": "\u0000"}, "popularity"),
            ({"user_id": -(2**63)}, "popularity"),
            ({"user_id": None}, "popularity"),
            ({}, "popularity"),
        ],
    )
    def test_the_answer_says_how_the_asker_was_represented(self, world: World, body: object, source: str) -> None:
        reply = world.post("/v1/recommend", body)
        assert reply.status_code == 200
        items = reply.json()["items"]
        assert len(items) == 10
        assert {item["source"] for item in items} == {source}

    def test_history_and_exclude_are_never_answered(self, world: World) -> None:
        everything = world.post("/v1/recommend", {"user_id": 1001, "k": 1000, "exclude_seen": False}).json()["items"]
        assert len(everything) == 80
        left = world.post(
            "/v1/recommend",
            {"user_id": 1001, "k": 1000, "exclude_seen": False, "history": [2003], "exclude_items": ["2004"]},
        ).json()["items"]
        gone = {item["item_id"] for item in everything} - {item["item_id"] for item in left}
        assert gone == {2003, 2004}

    def test_candidates_and_no_candidates(self, world: World) -> None:
        allowed = [2001 + row for row in range(0, 80, 9)]
        items = world.post("/v1/recommend", {"user_id": 1007, "candidates": allowed}).json()["items"]
        assert [item["item_id"] for item in items] == world.recommender.recommend(
            Query(1007, candidates=tuple(allowed))
        ).item_ids
        assert world.post("/v1/recommend", {"user_id": 1007, "candidates": []}).json()["items"] == []
        everything, absent = ({"user_id": 1007, "candidates": None}, {"user_id": 1007})
        assert world.post("/v1/recommend", everything).json() == world.post("/v1/recommend", absent).json()

    def test_batch_is_the_single_answers_in_order(self, world: World) -> None:
        queries = [{"user_id": 1000 + row, "k": row + 1} for row in range(20)] + [{"history": [2001]}, {}]
        reply = world.post("/v1/recommend/batch", {"queries": queries})
        singles = [world.post("/v1/recommend", query).json() for query in queries]
        assert reply.json() == {
            "results": singles,
            "model": {"name": "tiny", "version": "test-0"},
        }

    def test_similar_items(self, world: World) -> None:
        items = world.post("/v1/similar-items", {"item_id": "2003", "k": 4}).json()["items"]
        assert [item["item_id"] for item in items] == world.recommender.similar_items(2003, 4).item_ids
        assert {item["source"] for item in items} == {"item"}

    def test_model(self, world: World) -> None:
        facts = world.ask("GET", "/v1/model").json()
        assert facts["name"] == "tiny"
        assert (facts["num_users"], facts["num_items"], facts["embedding_dim"]) == (60, 80, 8)
        assert facts["metrics"] == {"ndcg@20": 0.125}
        assert facts["branches"] == ["gnn"]

    def test_a_blend_is_answered_as_in_process(self, tmp_path: Path) -> None:
        blend = World(write_blended_artifact(tmp_path / "artifact", projected=True, tables="int8"))
        assert blend.ask("GET", "/v1/model").json()["branches"] == ["filter", "two-hop", "gnn", "popularity"]
        questions = [Query(user_id=1007), Query(history=(2001, 2002)), Query()]
        bodies = [{"user_id": 1007}, {"history": [2001, 2002]}, {}]
        for query, body, source in zip(questions, bodies, ("user", "fold_in", "popularity"), strict=True):
            answer = blend.recommender.recommend(query)
            assert answer.source == source
            assert blend.post("/v1/recommend", body).json()["items"] == answer.items()

    def test_text_ids(self, text_world: World) -> None:
        items = text_world.post("/v1/recommend", {"user_id": "user-0007", "history": ["item-0001"]}).json()["items"]
        assert {item["source"] for item in items} == {"user"}
        assert all(item["item_id"].startswith("item-") for item in items)

    def test_a_body_in_pieces(self, world: World) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b'{"user_id"', b": 1007", b"}"):
                yield piece

        reply = world.ask("POST", "/v1/recommend", content=pieces(), headers=JSON)
        assert reply.json() == world.post("/v1/recommend", {"user_id": 1007}).json()

    @pytest.mark.parametrize(
        "media",
        [None, "application/json; charset=utf-8", "application/vnd.x+json", "application/x-www-form-urlencoded"],
    )
    def test_accepted_content_types(self, world: World, media: str | None) -> None:
        headers = {"content-type": media} if media else {}
        assert world.ask("POST", "/v1/recommend", content=b"{}", headers=headers).status_code == 200

    def test_other_paths_reach_bentoml(self, world: World) -> None:
        assert world.ask("GET", "/docs.json").text == "behind /docs.json"
        assert world.ask("POST", "/").text == "behind /"

    def test_the_page_for_people_loads_nothing(self, artifact: Path, tmp_path: Path) -> None:
        started = World(artifact), World(artifact, feedback=tmp_path / "log")
        pages = [world.ask("GET", "/") for world in started]
        for page in pages:
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers["content-security-policy"].startswith("default-src 'none';")
            assert not re.search(r"src=|<script|<link|<iframe|@import|url\(|https?:", page.text)
            assert re.findall(r'href="([^"]*)"', page.text) == ["docs.json", "metrics", "readyz", "livez"]
            assert "POST /v1/recommend<" in page.text
        assert ["/v1/feedback" in page.text for page in pages] == [False, True]
        assert not any("/v1/admin" in page.text for page in pages)


def test_a_bug_is_answered_without_its_details(artifact: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(artifact, recommender=BrokenRecommender(artifact))
    reply = world.ask("POST", "/v1/recommend", content=b"{}", headers={"x-request-id": "abc-1"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "secret" not in reply.text
    assert "abc-1" in caplog.text
    assert "secret of /etc/passwd" in caplog.text


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("req-1.A:b_c", True), ("x" * 129, False), ("a b", False), ("", False), ("a\tb", False)]
)
def test_request_ids_are_echoed_or_made(world: World, sent: str, is_kept: bool) -> None:
    for path in ("/v1/recommend", "/v1/nothing"):
        got = world.ask("POST", path, content=b"{}", headers={"x-request-id": sent}).headers["x-request-id"]
        assert (got == sent) is is_kept
        assert len(got) >= 8


def test_metrics_count_requests_sources_and_time(artifact: Path) -> None:
    world = World(artifact)
    world.post("/v1/recommend", {"user_id": 1007})
    world.post("/v1/recommend", {"user_id": 1007, "k": 0})
    world.post("/v1/recommend/batch", {"queries": [{"user_id": 1007}, {}, {"history": [2001]}]})
    world.post("/v1/tried/by/a/scanner", {})
    assert world.metric("gnas_serve_requests_total", door="http", method="recommend", code="200") == 1
    assert world.metric("gnas_serve_requests_total", door="http", method="recommend", code="400") == 1
    assert world.metric("gnas_serve_requests_total", door="http", method="unknown", code="404") == 1
    assert world.metric("gnas_serve_request_duration_seconds_count", door="http", method="recommend") == 2
    bucket = "gnas_serve_request_duration_seconds_bucket"
    assert world.metric(bucket, door="http", method="recommend", le="0.0005") is not None
    for source, count in (("user", 2), ("popularity", 1), ("fold_in", 1)):
        assert world.metric("gnas_serve_answers_total", source=source) == count


def test_the_access_log_is_one_line_per_request_and_off_by_default(
    artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="gnas_serve")
    World(artifact).post("/v1/recommend", {})
    assert caplog.text == ""
    world = World(artifact, access_log=True)
    world.ask("POST", "/v1/recommend", content=b"{}", headers={"x-request-id": "abc-1"})
    (record,) = caplog.records
    assert record.getMessage().startswith("http recommend 200 ")
    assert record.getMessage().endswith(" abc-1")


def test_a_scan_of_a_large_catalogue_does_not_hold_up_other_requests(artifact: Path) -> None:
    class SlowRecommender:
        def __init__(self, num_items: int) -> None:
            self._real = Recommender.load(artifact)
            self.info = replace(self._real.info, num_items=num_items)
            self.recommend_staged = self._real.recommend_staged

        def similar_items(self, item_id: int, k: int, item_features: ItemFeatures) -> Answer:
            time.sleep(0.3)
            return self._real.similar_items(item_id, k, item_features)

    async def race(world: World) -> list[str]:
        finished: list[str] = []

        async def ask(client: httpx.AsyncClient, path: str, body: dict[str, int]) -> None:
            reply = await client.post(path, json=body)
            assert len(reply.json()["items"]) == 10
            finished.append(path)

        async with world.client() as client:
            scan = asyncio.create_task(ask(client, "/v1/similar-items", {"item_id": 2003}))
            await asyncio.sleep(0.01)
            await asyncio.gather(scan, ask(client, "/v1/recommend", {"user_id": 1007}))
        return finished

    assert asyncio.run(race(World(artifact, SlowRecommender(400_000)))) == ["/v1/recommend", "/v1/similar-items"]
    assert asyncio.run(race(World(artifact, SlowRecommender(399_999)))) == ["/v1/similar-items", "/v1/recommend"]
