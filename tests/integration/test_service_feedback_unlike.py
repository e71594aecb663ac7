"""Feedback that is unlike the model's data: kept, and told of at both doors, in the answer and as a metric."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_call import call
from front_world import World as HttpWorld
from front_world import feedback_of
from grpc_world import World as GrpcWorld
from tiny_artifact import CLOSED_FORM, write_blended_artifact

from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.client import to_id
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.settings import Settings

METRIC = "gnas_serve_feedback_unlike_data_total"
OF_KIND = "event: 'purchse' is none of those of the model's data, purchase, view (is 'purchase' meant?): kept as it is"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blended_artifact(tmp_path_factory.mktemp("unlike") / "artifact", branches=CLOSED_FORM)


def knowing(artifact: Path, *events: str) -> Recommender:
    """A model of data with these kinds of events, and with ids that are integers."""
    recommender = Recommender.load(artifact)
    data = recommender.manifest.data | {"events": list(events), "target_event": "purchase"}
    recommender.manifest = replace(recommender.manifest, data=data)
    return recommender


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": 1007, "item_id": 2003} | fields


def test_a_misspelt_kind_and_ids_of_another_type_are_kept_and_told_of(artifact: Path, tmp_path: Path) -> None:
    world = HttpWorld(artifact, knowing(artifact, "purchase", "view"), feedback=tmp_path / "log")
    assert world.metric(METRIC, field="event") == 0
    assert world.post(
        "/v1/feedback", {"events": [event(1), event(2, event="view"), event(3, user_id="1008")]}
    ).json() == {
        "written": 3,
        "duplicates": 0,
    }
    # Unknown ones of the right type are welcome.
    assert "warnings" not in world.post("/v1/feedback", {"events": [event(4, user_id=9_999, item_id=-5)]}).json()
    odd = [event(5, event="purchse"), event(6, event="purchse"), event(7, user_id="guest-1"), event(8, item_id="sku-9")]
    reply = world.post("/v1/feedback", {"events": [*odd, event(9, event="share")]})
    assert reply.status_code == 202
    assert reply.json() == {
        "written": 5,
        "duplicates": 0,
        "warnings": [
            OF_KIND,
            "event: 'share' is none of those of the model's data, purchase, view: kept as it is",
            "user_id: 'guest-1' is text, the model's data has integers (1 such): kept, for data that has text alone",
            "item_id: 'sku-9' is text, the model's data has integers (1 such): kept, for data that has text alone",
        ],
    }
    assert world.post("/v1/feedback", {"events": odd}).json() == {"written": 0, "duplicates": 4}  # told once
    again = world.post("/v1/feedback", {"events": [*odd, event(10)]})  # a batch of which some was sent before
    assert again.json() == {"written": 1, "duplicates": 4}
    assert [world.metric(METRIC, field=field) for field in ("event", "user_id", "item_id")] == [3, 1, 1]
    out = tmp_path / "out.jsonl"
    assert call("feedback", "export", tmp_path / "log", out) == 0
    kinds = [json.loads(line)["event"] for line in out.read_text().splitlines()]
    assert sorted(kinds) == ["purchase"] * 6 + ["purchse"] * 2 + ["share", "view"]


def test_the_grpc_door_tells_of_it_too(artifact: Path, tmp_path: Path) -> None:
    recommender = knowing(artifact, "purchase", "view")
    world = GrpcWorld(artifact, recommender, feedback_of(Settings(artifact, feedback=tmp_path / "log"), recommender))
    try:
        events = [pb.FeedbackEvent(event_id="a", user_id=to_id(1007), item_id=to_id(2003), event="purchse")]
        done = world.stub.Feedback(pb.FeedbackRequest(events=events))
        assert (done.written, list(done.warnings)) == (1, [OF_KIND])
        assert world.registry.get_sample_value(METRIC, {"field": "event"}) == 1
    finally:
        world.close()


def test_a_model_that_does_not_say_which_kinds_its_data_has_takes_all(artifact: Path, tmp_path: Path) -> None:
    world = HttpWorld(artifact, feedback=tmp_path / "log")
    reply = world.post("/v1/feedback", {"events": [event(1, event="whatever")]})
    assert reply.json() == {"written": 1, "duplicates": 0}


def test_an_event_without_a_kind_is_told_of_as_one(artifact: Path, tmp_path: Path) -> None:
    recommender = knowing(artifact, "purchase", "view")
    data = recommender.manifest.data | {"target_event": None}  # the model predicts all kinds alike
    recommender.manifest = replace(recommender.manifest, data=data)
    world = HttpWorld(artifact, recommender, feedback=tmp_path / "log")
    reply = world.post("/v1/feedback", {"events": [event(1), event(2), event(3, event="view")]})
    assert reply.json()["warnings"] == [
        "event: 2 events name no kind, taken as 'interaction', which is none of those of the model's data, "
        "purchase, view: kept as it is"
    ]
    told = event(4, event="interaction")  # of this one the kind was given
    assert world.post("/v1/feedback", {"events": [told, event(5)]}).json()["warnings"] == [
        "event: 'interaction' is none of those of the model's data, purchase, view: kept as it is",
        "event: 1 event names no kind, taken as 'interaction', which is none of those of the model's data, "
        "purchase, view: kept as it is",
    ]
    assert world.metric(METRIC, field="event") == 4


def test_many_kinds_and_what_steers_a_terminal_are_told_within_bounds(artifact: Path, tmp_path: Path) -> None:
    known = [f"kind-{number:02d}" for number in range(23)]
    world = HttpWorld(artifact, knowing(artifact, *known), feedback=tmp_path / "log")
    events = [event(number, event=f"\x1b[31m{number:03d}{'x' * 20}") for number in range(200)]
    warnings = world.post("/v1/feedback", {"events": events}).json()["warnings"]
    assert len(warnings) == 21
    assert warnings[0].startswith(f"event: '\\x1b[31m000{'x' * 20}' is none of those of the model's data, kind-00, ")
    assert "kind-19 and 3 more" in warnings[0]
    assert warnings[-1] == "event: and 180 more kinds that the model's data does not have: kept as they are"
    assert not [one for one in warnings if "\x1b" in one or len(one) > 400]
