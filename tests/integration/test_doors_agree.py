"""Both doors give the same answer, or the same refusal, to whatever may be asked."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import httpx
import numpy as np
import pytest
from attribute_tables import attributes_of, random_table
from content_tables import METRICS, encoder_of
from front_world import JSON
from front_world import World as HttpWorld
from google.protobuf.message import Message
from grpc_world import World as GrpcWorld
from segment_tables import FACTS, random_segments
from tiny_artifact import write_blended_artifact, write_tiny_artifact

from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.client import from_id, recommend, to_attribute, to_feature, to_id
from gnas_serve.service.errors import CODE_KEY
from gnas_serve.service.proto import recommender_pb2 as pb

REQUESTS = 2000
PATHS = {
    "Recommend": "/v1/recommend",
    "RecommendBatch": "/v1/recommend/batch",
    "Rank": "/v1/rank",
    "SimilarItems": "/v1/similar-items",
    "SimilarUsers": "/v1/similar-users",
    "Explain": "/v1/explain",
}
IDS = {"user_id", "item_id"}
LISTS = {"history", "exclude_items", "candidates"}


class Questions:
    """Questions drawn by chance, now and then about what there is not."""

    def __init__(self, seed: int, *, text: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._text = text

    def draw(self) -> tuple[str, dict[str, Any]]:
        call = str(self._rng.choice(list(PATHS), p=[0.6, 0.08, 0.1, 0.08, 0.07, 0.07]))
        if call == "Recommend":
            return call, self.question()
        if call == "RecommendBatch":
            return call, {"queries": [self.question() for _ in range(self._rng.integers(0, 4))]}
        if call == "Rank":
            names = ("user_id", "history", "explain", "return_scores", "strict", "user_features", "item_features")
            asked = self._some(self.question(), 0.7, names)
            return call, asked | {
                "candidates": [*self._ids(self._rng.integers(0, 12)), *asked.get("item_features", ())]
            }
        if call == "SimilarUsers":
            return call, self._some({"user_id": self._user(), "k": self._k()}, 0.8)
        asked = {"item_id": self._item()}
        if call == "SimilarItems":
            return call, self._of_unseen() or self._some(asked | {"k": self._k()}, 0.8)
        said = {"user_id": self._user(), "history": self._ids(4), "user_features": self._features()}
        return call, (self._of_unseen() or asked) | self._some(said, 0.6)

    def question(self) -> dict[str, Any]:
        rng = self._rng
        return self._some(
            {
                "user_id": self._user(),
                "k": self._k(),
                "history": self._ids(rng.integers(0, 8)),
                "exclude_items": self._ids(rng.integers(0, 30)),
                "exclude_seen": bool(rng.random() < 0.5),
                "candidates": self._ids(rng.integers(0, 40)),
                "filter": str(rng.choice(FILTERS)),
                "diversity": round(float(rng.uniform(-0.05, 1.05)), 2),
                "exploration": round(float(rng.uniform(0, 1)), 2),
                "explain": bool(rng.random() < 0.5),
                "return_scores": bool(rng.random() < 0.5),
                "strict": bool(rng.random() < 0.5),
                "user_features": self._features(),
                "item_features": self._items(),
            },
            0.35,
        ) | {"seed": int(rng.integers(0, 2**62))}

    def _some(self, fields: dict[str, Any], share: float, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        return {
            name: value
            for name, value in fields.items()
            if (names is None or name in names) and self._rng.random() < share
        }

    def _features(self) -> dict[str, Any]:
        """Say something of the user, now and then under a name that there is not, or in another type."""
        numbers: list[Any] = ["", "true", "41", 41, 3.5, True, None]
        texts: list[Any] = ["north", "straße", *numbers]
        kinds = {"age": numbers, "member": numbers, "shoe size": numbers}
        names = ["region", "age", "nickname", "member", "shoe size"]
        named = self._rng.choice(names, self._rng.integers(0, 4), replace=False, p=[0.3, 0.3, 0.2, 0.18, 0.02])
        return {str(name): self._value(kinds.get(name, texts), ["north", "x" * 257]) for name in named}

    def _value(self, right: list[Any], odd: list[Any]) -> Any:
        values = odd if self._rng.random() < 0.015 else right
        return values[self._rng.integers(0, len(values))]

    def _items(self) -> dict[str, dict[str, Any]]:
        """Tell of items that there are not; at times of one that there is, of what there is not, or of odd values."""
        numbers: list[Any] = ["", "3.25", 1, 3.25, -9, True, None]
        texts: list[Any] = ["bag", "a", *numbers]
        kinds: dict[Any, list[Any]] = {"category": texts, "a`b": texts, "tags": ["bag", "", None, ["bag", "zz"], []]}
        odd = [["bag", "zz"], "cheap", 3, "x" * 2001, ["y" * 257]]
        names = ["price", "category", "tags", "in_stock", "a`b", "colour"]
        found = {}
        for _ in range(self._rng.integers(0, 4)):
            named = self._rng.choice(
                names, self._rng.integers(0, 5), replace=False, p=[0.245, 0.245, 0.245, 0.14, 0.12, 0.005]
            )
            told = {str(name): self._value(kinds.get(name, numbers), odd) for name in named}
            number = int(self._rng.integers(0, 9000))
            known = self._rng.random() < 0.2
            found[str(self._item() if known else number + 9000 if self._rng.random() < 0.5 else f"new-{number}")] = told
        return found

    def _of_unseen(self) -> dict[str, Any]:
        """Ask what is like an item that there is not, now and then telling of another, too; at times of none."""
        items = self._items() if self._rng.random() < 0.5 else {}
        if not items:
            return {}
        new = str(next(iter(items)))
        return {"item_id": new, "item_features": items if self._rng.random() < 0.2 else {new: items[new]}}

    def _k(self) -> int:
        return int(self._rng.choice([0, 1, 5, 10, 40, 75, 1000, 1001], p=[0.02, 0.1, 0.3, 0.3, 0.1, 0.1, 0.06, 0.02]))

    def _user(self) -> int | str:
        return self._id("user", 1000, 63)

    def _item(self) -> int | str:
        return self._id("item", 2000, 82)

    def _ids(self, count: int) -> list[int | str]:
        return [self._item() for _ in range(count)]

    def _id(self, kind: str, first: int, count: int) -> int | str:
        row = int(self._rng.integers(0, count))  # the last ones are unknown
        if self._text:
            return f"{kind}-{row:04d}"
        return first + row if self._rng.random() < 0.8 else str(first + row)


FILTERS = ["price > 1", "tags has 'a' or in_stock == true", "not category in ['a', 'bag']", "nothing == 1", "(", ""]


def to_message(call: str, fields: dict[str, Any]) -> Message:
    if call == "RecommendBatch":
        return pb.RecommendBatchRequest(queries=[to_message("Recommend", query) for query in fields["queries"]])
    kind = getattr(pb, f"{call}Request")
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in IDS:
            values[name] = to_id(value)
        elif name == "user_features":
            values[name] = {name: to_feature(one) for name, one in value.items()}
        elif name == "item_features":
            values[name] = {item_id: attributes_message(one) for item_id, one in value.items()}
        elif name in LISTS:
            ids = [to_id(one) for one in value]
            values[name] = pb.Ids(ids=ids) if (call, name) == ("Recommend", "candidates") else ids
        else:
            values[name] = value
    message: Message = kind(**values)
    return message


def attributes_message(told: dict[str, Any]) -> pb.ItemAttributes:
    return pb.ItemAttributes(attributes={name: to_attribute(value) for name, value in told.items()})


def told(message: Message) -> Any:
    """Read a response as the HTTP door would write it."""
    if isinstance(message, pb.Id):
        return from_id(message)
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[field.name] = dict(value)
        elif field.name == "like" and not value:
            continue  # of unseen items alone
        elif field.is_repeated:
            found[field.name] = [told(one) if isinstance(one, Message) else one for one in value]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = told(value) if isinstance(value, Message) else value
    if isinstance(message, pb.ExplainResponse):  # one object in JSON
        found |= found.pop("explanation")
    return found


class Both:
    """The two doors over one artifact."""

    def __init__(self, artifact: Path) -> None:
        recommender = Recommender.load(artifact)
        self.http = HttpWorld(artifact, recommender)
        self.grpc = GrpcWorld(artifact, recommender)

    async def ask(self, client: httpx.AsyncClient, call: str, fields: dict[str, Any]) -> tuple[Any, Any]:
        reply = await client.post(PATHS[call], content=json.dumps(fields), headers=JSON)
        return told_by_http(reply), self.of_grpc(call, fields)

    def of_grpc(self, call: str, fields: dict[str, Any]) -> Any:
        try:
            return told(getattr(self.grpc.stub, call)(to_message(call, fields)))
        except grpc.RpcError as error:
            return dict(error.trailing_metadata())[CODE_KEY], error.details()


def told_by_http(reply: httpx.Response) -> Any:
    content = reply.json()
    return content if reply.status_code == 200 else (content["code"], content["detail"])


@pytest.fixture(scope="module", params=["integers", "texts"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Both, bool]]:
    folder = tmp_path_factory.mktemp("both") / "artifact"
    is_text = request.param == "texts"
    attributes = attributes_of(random_table(random.Random(0), 80))
    segments = (FACTS, random_segments(80))
    found = Both(
        write_tiny_artifact(folder, text_ids=True, attributes=attributes, segments=segments, content=encoder_of)
        if is_text
        else write_blended_artifact(folder, attributes=attributes, content=encoder_of)
    )
    yield found, is_text
    found.grpc.close()


def test_whatever_is_asked(both: tuple[Both, bool]) -> None:
    doors, is_text = both
    questions = Questions(7, text=is_text)

    async def ask_all() -> dict[str, int]:
        seen: dict[str, int] = {"by segment": 0, "by content": 0, "like": 0}
        async with doors.http.client() as client:
            for _ in range(REQUESTS // 2):
                call, fields = questions.draw()
                by_http, by_grpc = await doors.ask(client, call, fields)
                assert by_http == by_grpc, (call, fields)
                outcome = by_http[0] if isinstance(by_http, tuple) else "ok"
                seen[outcome] = seen.get(outcome, 0) + 1
                seen["by segment"] += '"source": "segment"' in json.dumps(by_http)
                seen["like"] += isinstance(by_http, dict) and "like" in by_http
                seen["by content"] += '"source": "content"' in json.dumps(by_http)
        return seen

    outcomes = asyncio.run(ask_all())
    # The draw really asked for all of it: answers, and refusals of many kinds.
    assert outcomes["ok"] > REQUESTS // 5
    assert {"user_not_found", "item_not_found", "invalid_k", "list_too_short", "missing_field"} <= set(outcomes)
    assert {"unknown_feature", "wrong_type", "invalid_field"} <= set(outcomes)
    assert (outcomes["by segment"] > 20) == is_text
    assert outcomes["by content"] > 20
    assert outcomes["like"] > 5
    assert {"known_item", "unknown_attribute"} <= set(outcomes)


def test_an_address_asks_what_a_body_asks(both: tuple[Both, bool]) -> None:
    doors, is_text = both
    questions = Questions(8, text=is_text)

    async def ask_all() -> int:
        answered = 0
        async with doors.http.client() as client:
            for _ in range(200):
                fields = {"user_id": "nobody/at all?"} | questions.question()
                texts = {
                    name: ",".join(map(str, value)) if name in LISTS else _plain(value)
                    for name, value in fields.items()
                    if name != "user_id"
                }
                path = f"/v1/users/{quote(str(fields['user_id']), safe='')}/recommendations?{urlencode(texts)}"
                by_http = told_by_http(await client.get(path))
                as_text = {
                    name: [str(one) for one in value] if name in LISTS else str(value) if name in IDS else value
                    for name, value in fields.items()
                }
                assert by_http == doors.of_grpc("Recommend", as_text), path
                answered += isinstance(by_http, dict)
        return answered

    assert asyncio.run(ask_all()) > 50


def test_both_doors_say_which_features_and_attributes_there_are(both: tuple[Both, bool]) -> None:
    doors, is_text = both
    expected = ["region", "age", "member"] if is_text else []
    by_http = doors.http.ask("GET", "/v1/model").json()
    by_grpc = told(doors.grpc.stub.GetModel(pb.GetModelRequest()))
    assert by_http["user_features"] == by_grpc["user_features"] == expected
    kinds = dict.fromkeys(["price", "in_stock", "list price", "not"], "number")
    kinds |= {"category": "text", "a`b": "text", "tags": "words"}
    assert by_http["attribute_types"] == by_grpc["attribute_types"] == kinds
    assert list(by_http["attribute_types"]) == by_http["attributes"] == by_grpc["attributes"]
    assert set(by_http["item_features"]) == set(kinds)
    assert by_http["item_features"] == by_grpc["item_features"]
    assert by_http["item_features_metrics"] == by_grpc["item_features_metrics"] == METRICS
    if is_text:
        said = {"age": 41, "region": "south"}
        answer = recommend(doors.grpc.target, user_features=said)
        assert answer["items"][0]["source"] == "segment"
        assert answer == doors.http.post("/v1/recommend", {"user_features": said}).json()


def test_a_value_of_another_type_is_the_same_422_at_both_doors(both: tuple[Both, bool]) -> None:
    doors, is_text = both
    items = {"new-1": {"price": "cheap", "tags": ["a"]}}
    asked = [
        ("Recommend", {}),
        ("Rank", {"candidates": ["new-1"]}),
        *((call, {"item_id": "new-1"}) for call in ("SimilarItems", "Explain")),
    ]
    questions = [(call, {**fields, "item_features": items}) for call, fields in asked]
    questions.append(("RecommendBatch", {"queries": [{}, {"item_features": items}]}))
    if is_text:
        known = str(doors.http.recommender.items.id(0))
        questions += [("Recommend", {"user_features": {"age": "old"}}), ("Explain", {"item_id": known})]
        questions[-1][1]["user_features"] = {"age": "old"}
    for call, fields in questions:
        reply = doors.http.post(PATHS[call], fields)
        assert (reply.status_code, reply.json()["code"]) == (422, "wrong_type")
        assert reply.json()["detail"].startswith(
            "user_features.age: expected a number" if "user_features" in fields else "item_features.new-1.price: "
        )
        assert doors.of_grpc(call, fields) == told_by_http(reply)
        with pytest.raises(grpc.RpcError) as refused:
            getattr(doors.grpc.stub, call)(to_message(call, fields))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _plain(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
