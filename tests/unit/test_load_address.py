"""Which server is meant, who may be asked, and for whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stalling_server import StallingServer
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import ConfigError, DataError
from gnas_serve.load.address import Address, is_address, refuse_bare
from gnas_serve.load.askers import ExactJudge, known_users, listed_users, mean_recall
from gnas_serve.load.grpc_door import GrpcDoor
from gnas_serve.load.http_door import HttpDoor
from gnas_serve.load.meter import Reading
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.client import to_id
from gnas_serve.service.proto import recommender_pb2 as pb


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        ("http://localhost:3000", None, Address("http", "localhost", 3000)),
        ("http://127.0.0.1", None, Address("http", "127.0.0.1", 80)),
        ("http://[::1]:3000/model/a/", None, Address("http", "::1", 3000, "/model/a")),
        ("grpc://localhost", None, Address("grpc", "localhost", 3001)),
        ("http://localhost:3001", "grpc", Address("grpc", "localhost", 3001)),
    ],
)
def test_addresses(text: str, protocol: str | None, expected: Address) -> None:
    assert is_address(text)
    assert Address.read(text, protocol) == expected
    expected.require_loopback()


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("https://localhost", None),
        ("ftp://localhost", None),
        ("http://", None),
        ("http://[::1", None),
        ("http://localhost:99999", None),
        ("http://localhost:0", None),
        ("http://user:secret@localhost", None),
        ("http://localhost/?a=1", None),
        ("http://localhost/a b", None),
        ("http://localhost/a\r\nx-header: 1", None),
        ("grpc://localhost", "http"),
    ],
)
def test_what_is_no_address(text: str, protocol: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        Address.read(text, protocol)
    assert raised.value.hint


@pytest.mark.parametrize("text", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "shop.example:80/prefix"])
def test_an_address_without_its_protocol(text: str) -> None:
    for protocol, written in ((None, f"http://{text}"), ("grpc", f"grpc://{text}")):
        with pytest.raises(ConfigError, match="is no artifact's folder") as error:
            refuse_bare(text, protocol)
        assert error.value.hint == f"for a server there, write {written}"


def test_what_has_a_colon_and_is_no_such_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop:1").mkdir()
    for text in ("shop:1", "shop:test-1", "http://localhost:3000", "rel/1", "C:/rel", "x" * 300 + ":1"):
        refuse_bare(text, None)


@pytest.mark.parametrize("host", ["example.com", "192.0.2.1", "0", "localhost.example.com", "[2001:db8::1]"])
def test_others_are_asked_with_leave_alone(host: str) -> None:
    with pytest.raises(ConfigError, match="is not this machine") as raised:
        Address.read(f"http://{host}", None).require_loopback()
    assert "--anywhere" in raised.value.hint


def test_a_server_that_tells_what_it_costs() -> None:
    told = b"# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 3e+06\n"

    with StallingServer(body=told) as server:
        meter = Address("http", "127.0.0.1", server.port).meter()
        assert meter is not None
        assert meter.read() == Reading(12.5, 3_000_000)
    with StallingServer(body=b"something else") as other:
        assert Address("http", "127.0.0.1", other.port).meter() is None
    assert Address("grpc", "127.0.0.1", 9).meter() is None


def test_lists_of_users(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text("1001\n\n  user-b \n1003\n")
    assert sorted(listed_users(path, 0)) == ["1001", "1003", "user-b"]
    for content, what in ((b"", "no user"), (b"\xff\xfe", "UTF-8"), (b"1\n" + b"x" * 300, "row 2")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=what):
            listed_users(path, 0)
    with pytest.raises(ConfigError, match="no such file"):
        listed_users(tmp_path / "none", 0)


def test_recall_is_against_an_exact_search(tmp_path: Path) -> None:
    recommender = Recommender.load(write_tiny_artifact(tmp_path / "artifact"))
    users = known_users(recommender, 0)
    assert sorted(users) == [1000 + row for row in range(60)]
    judge = ExactJudge(recommender, 4)
    best = [recommender.recommend(Query(user_id=user, k=4)).item_ids for user in users[:2]]
    half = [[*best[0][:2], -1, -2], best[1]]
    door, other = HttpDoor("127.0.0.1", 1), GrpcDoor("127.0.0.1", 1)
    as_json = [door_answer(one) for one in half]
    assert mean_recall(door, users, list(enumerate(as_json)), judge) == pytest.approx(0.75)
    model = pb.Model(name="tiny", version="test-0")
    messages = [pb.RecommendResponse(items=[pb.Item(item_id=to_id(item)) for item in one], model=model) for one in half]
    sample = [(place, message.SerializeToString()) for place, message in enumerate(messages)]
    assert mean_recall(other, users, sample, judge) == pytest.approx(0.75)
    assert mean_recall(door, users, [], judge) is None
    for wrong_door, body in ((door, b'{"items": 3}'), (door, b"<html>"), (other, b"\xff\xff\xff")):
        with pytest.raises(DataError, match="something else than items"):
            mean_recall(wrong_door, users, [(0, body)], judge)
    with pytest.raises(ConfigError, match="version newer answered, the artifact is version test-0"):
        mean_recall(door, users, [(0, door_answer(half[0], "newer"))], judge)


def door_answer(item_ids: list[int], version: str = "test-0") -> bytes:
    """Write what the HTTP door answers."""
    items = [{"item_id": item_id, "score": 1.0, "source": "user"} for item_id in item_ids]
    return json.dumps({"items": items, "model": {"name": "tiny", "version": version}}).encode()
