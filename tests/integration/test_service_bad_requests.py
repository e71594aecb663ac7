"""Every bad input over HTTP, limits and timeouts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from front_world import World, behind, connection, play
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.admission import Admission
from gnas_serve.service.hot_path import HotPath
from gnas_serve.service.settings import MAX_BODY_BYTES, Settings


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("http") / "artifact")


@pytest.fixture(scope="module")
def world(artifact: Path) -> World:
    return World(artifact)


TOO_MANY = [2001] * 1001
BAD_BODIES: list[tuple[bytes | object, str, str | None]] = [
    (b"", "empty_body", None),
    (b"hello", "invalid_json", None),
    (b'{"k": 1', "invalid_json", None),
    (b'{"k": 1} x', "invalid_json", None),
    (b"\xff\xfe\x00", "invalid_json", None),
    (b'{"user_id": "\\ud800"}', "invalid_json", None),
    (b'{"user_id": ' + b"9" * 5000 + b"}", "invalid_json", None),
    (b"[" * 100_000, "invalid_json", None),
    (b'{"history": ' + b"[" * 100_000, "invalid_json", None),
    (b"null", "invalid_field", None),
    (b"[]", "invalid_field", None),
    (b'"text"', "invalid_field", None),
    (b'{"k": NaN}', "invalid_k", "k"),
    (b'{"k": 1e999}', "invalid_k", "k"),
    ({"k": 0}, "invalid_k", "k"),
    ({"k": -1}, "invalid_k", "k"),
    ({"k": 1_000_000_000}, "invalid_k", "k"),
    ({"k": 1001}, "invalid_k", "k"),
    ({"k": "10"}, "invalid_k", "k"),
    ({"k": 1.5}, "invalid_k", "k"),
    ({"k": 10.0}, "invalid_k", "k"),
    ({"k": True}, "invalid_k", "k"),
    ({"k": None}, "invalid_k", "k"),
    ({"k": [1]}, "invalid_k", "k"),
    ({"user_features": []}, "invalid_field", "user_features"),
    ({"user_features": {"age": [3]}}, "invalid_field", "user_features.age"),
    ({"user_features": {"int": {"k": 1}}}, "invalid_field", "user_features.int"),
    ({"user_features": {"k": "x" * 257}}, "invalid_field", "user_features.k"),
    ({"user_features": {"k": 10**400}}, "invalid_field", "user_features.k"),
    (b'{"user_features": {"age": 1e999}}', "invalid_field", "user_features.age"),
    ({"user_features": {str(n): n for n in range(101)}}, "list_too_long", "user_features"),
    ({"user_id": True}, "invalid_id", "user_id"),
    ({"user_id": 1.0}, "invalid_id", "user_id"),
    ({"user_id": 2**63}, "invalid_id", "user_id"),
    ({"user_id": 10**4000}, "invalid_id", "user_id"),
    ({"user_id": ""}, "invalid_id", "user_id"),
    ({"user_id": "u" * 257}, "invalid_id", "user_id"),
    ({"user_id": {}}, "invalid_id", "user_id"),
    ({"history": [1, "two", None]}, "invalid_id", "history.2"),
    ({"history": "2001"}, "invalid_field", "history"),
    ({"history": TOO_MANY}, "list_too_long", "history"),
    ({"exclude_items": TOO_MANY}, "list_too_long", "exclude_items"),
    ({"candidates": [1] * 10_001}, "list_too_long", "candidates"),
    ({"candidates": "2001"}, "invalid_field", "candidates"),
    ({"candidates": [2001, None]}, "invalid_id", "candidates.1"),
    ({"exclude_seen": 1}, "invalid_field", "exclude_seen"),
    ({"userid": 7}, "unknown_field", "userid"),
    ({f"field{n}": 1 for n in range(20_000)}, "invalid_field", None),
    ({"history": [True] * 100_000}, "invalid_id", "history.0"),
]


class TestBadInput:
    @pytest.mark.parametrize(("body", "code", "field"), BAD_BODIES, ids=range(len(BAD_BODIES)))
    def test_recommend(self, world: World, body: object, code: str, field: str | None) -> None:
        reply = world.post("/v1/recommend", body)
        problem = reply.json()
        assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem.get("field"), problem["status"]) == (code, field, 400)
        assert problem["title"] == "Bad Request"
        assert 0 < len(problem["detail"]) < 300

    @pytest.mark.parametrize(
        ("path", "body", "status", "code", "field"),
        [
            ("/v1/recommend/batch", {}, 400, "missing_field", "queries"),
            ("/v1/recommend/batch", {"queries": []}, 400, "list_too_short", "queries"),
            ("/v1/recommend/batch", {"queries": [{}] * 257}, 400, "list_too_long", "queries"),
            ("/v1/recommend/batch", {"queries": [{}, {"k": 0}]}, 400, "invalid_k", "queries.1.k"),
            ("/v1/recommend/batch", {"queries": [{"x": 1}]}, 400, "unknown_field", "queries.0.x"),
            ("/v1/similar-items", {}, 400, "missing_field", "item_id"),
            ("/v1/similar-items", {"item_id": None}, 400, "invalid_id", "item_id"),
            ("/v1/similar-items", {"item_id": 2001, "k": 0}, 400, "invalid_k", "k"),
            ("/v1/similar-items", {"item_id": 1}, 404, "item_not_found", None),
            ("/v1/similar-items", {"item_id": "no\u0000such"}, 404, "item_not_found", None),
            ("/v1/nothing", {}, 404, "not_found", None),
            ("/v1/recommend/", {}, 404, "not_found", None),
            ("/v1/model", {}, 405, "method_not_allowed", None),
        ],
    )
    def test_other_calls(
        self, world: World, path: str, body: object, status: int, code: str, field: str | None
    ) -> None:
        reply = world.post(path, body)
        assert (reply.status_code, reply.json()["code"], reply.json().get("field")) == (status, code, field)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
    def test_wrong_method_says_the_right_one(self, world: World, method: str) -> None:
        reply = world.ask(method, "/v1/recommend")
        assert reply.status_code == 405
        assert reply.headers["allow"] == "POST"

    @pytest.mark.parametrize(
        "headers", [{"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}]
    )
    def test_what_is_not_json_by_its_headers(self, world: World, headers: dict[str, str]) -> None:
        reply = world.ask("POST", "/v1/recommend", content=b"{}", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")

    def test_control_characters_of_a_caller_are_not_echoed(self, world: World) -> None:
        problem = world.post("/v1/recommend", {"a\u0000\n\u2028\x1b": 1}).json()
        assert problem["field"].isprintable()
        assert problem["field"].isascii()


class TestAddress:
    @pytest.mark.parametrize(
        ("query", "code", "field"),
        [
            ("k=0", "invalid_k", "k"),
            ("k=1.0", "invalid_k", "k"),
            ("k=010", "invalid_k", "k"),
            ("k=%2B5", "invalid_k", "k"),
            ("k=+5", "invalid_k", "k"),
            ("k=5%20", "invalid_k", "k"),
            ("k=1_0", "invalid_k", "k"),
            ("k=%D9%A5", "invalid_k", "k"),
            ("k=NaN", "invalid_k", "k"),
            ("k=" + "9" * 5000, "invalid_k", "k"),
            ("diversity=.5", "invalid_field", "diversity"),
            ("diversity=inf", "invalid_field", "diversity"),
            ("diversity=1e999", "invalid_field", "diversity"),
            ("exclude_seen=True", "invalid_field", "exclude_seen"),
            ("exclude_seen=1", "invalid_field", "exclude_seen"),
            ("history=2001,,2002", "invalid_id", "history.1"),
            ("filter=", "invalid_field", "filter"),
            ("page=2", "unknown_field", "page"),
            ("k=1&k=2", "invalid_address", None),
            ("user_id=1008", "invalid_address", None),
            ("k", "invalid_address", None),
            ("filter=%FF", "invalid_address", None),
            ("user_features=%7B%22age%22%3A%22%5Cud800%22%7D", "invalid_field", "user_features"),  # half a character
            ("item_features=%7B%22n%22%3A%7B%22tags%22%3A%5B%22%5Cud800%22%5D%7D%7D", "invalid_field", "item_features"),
        ],
    )
    def test_a_value_that_json_would_not_have(self, world: World, query: str, code: str, field: str | None) -> None:
        reply = world.ask("GET", f"/v1/users/1007/recommendations?{query}")
        assert (reply.status_code, reply.json()["code"], reply.json().get("field")) == (400, code, field), reply.text

    def test_numbers_as_json_has_them(self, world: World) -> None:
        reply = world.ask("GET", "/v1/users/1007/recommendations?k=5&diversity=5e-1&exploration=0&seed=0&history=")
        body = {"user_id": 1007, "k": 5, "diversity": 0.5}
        assert reply.json() == world.post("/v1/recommend", body).json()


class TestLimits:
    def test_an_announced_large_body_is_refused_before_it_is_read(self, world: World) -> None:
        receive = connection({"type": "http.request", "body": b"x" * 1000, "more_body": True})
        sent = play(world.front, receive, [(b"content-length", b"20000000")])
        assert sent[0]["status"] == 413
        assert (b"connection", b"close") in sent[0]["headers"]
        assert json.loads(sent[1]["body"])["code"] == "body_too_large"
        assert sent[-1] == {"type": "http.response.body", "body": b""}

    def test_an_unannounced_large_body_is_refused_at_the_limit(self, world: World) -> None:
        piece = {"type": "http.request", "body": b" " * (MAX_BODY_BYTES // 4), "more_body": True}
        receive = connection(*[piece] * 80)
        sent = play(world.front, receive)
        assert sent[0]["status"] == 413
        # Five pieces were read to know; the rest was thrown away so that the caller sees the answer.
        assert sum(receive.taken) == 80 * MAX_BODY_BYTES // 4

    def test_a_body_at_the_limit_is_read(self, world: World) -> None:
        body = b'{"k": 1}'.ljust(MAX_BODY_BYTES)
        assert world.post("/v1/recommend", body).status_code == 200
        assert world.post("/v1/recommend", body + b" ").status_code == 413

    def test_a_body_that_does_not_arrive(self, artifact: Path) -> None:
        world = World(artifact, timeout_s=0.05)
        sent = play(world.front, connection({"type": "http.request", "body": b"{", "more_body": True}, then=5))
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]

    def test_an_answer_that_takes_too_long(self, artifact: Path) -> None:
        world = World(artifact, timeout_s=0.002)
        reply = world.post("/v1/recommend/batch", {"queries": [{"user_id": 1000 + row % 60} for row in range(256)]})
        assert (reply.status_code, reply.json()["code"]) == (504, "deadline_exceeded")

    def test_a_caller_who_leaves(self, artifact: Path) -> None:
        world = World(artifact)
        assert play(world.front, connection({"type": "http.request", "body": b"{", "more_body": True})) == []
        assert world.metric("gnas_serve_requests_total", door="http", method="recommend", code="499") == 1
        assert world.metric("gnas_serve_in_flight_requests", door="http") == 0

    def test_too_many_at_once(self, artifact: Path) -> None:
        world = World(artifact, max_in_flight=1)

        async def two() -> httpx.Response:
            hold = connection({"type": "http.request", "body": b"{", "more_body": True}, then=0.2)
            scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": []}

            async def send(_message: object) -> None: ...

            first = asyncio.create_task(world.front(scope, hold, send))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            async with world.client() as client:
                reply = await client.post("/v1/recommend", json={})
            await first
            return reply

        reply = asyncio.run(two())
        assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (429, "overloaded", "1")
        assert world.post("/v1/recommend", {}).status_code == 200

    def test_of_a_burst_as_many_are_answered_as_may_wait(self, artifact: Path) -> None:
        world = World(artifact, max_in_flight=8)

        async def burst() -> list[httpx.Response]:
            async with world.client() as client:
                return await asyncio.gather(*(client.post("/v1/recommend", json={"k": 1}) for _ in range(50)))

        statuses = [reply.status_code for reply in asyncio.run(burst())]
        assert statuses == [200] * 8 + [429] * 42, "the first come are served, the others are told at once"
        assert world.metric("gnas_serve_in_flight_requests", door="http") == 0
        assert world.post("/v1/recommend", {}).status_code == 200

    def test_before_the_model_is_there(self, artifact: Path) -> None:
        front = HotPath(behind, Settings(artifact), Admission.of(Settings(artifact)))
        assert play(front, connection({"type": "http.request", "body": b"{}"}))[0]["status"] == 503
