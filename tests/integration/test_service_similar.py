"""Both doors say the same of a model that cannot tell items apart, and of one that tells them apart by links."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from front_world import World as HttpWorld
from grpc_world import World as GrpcWorld
from grpc_world import refused
from tiny_artifact import BLEND, write_blended_artifact

from gnas_serve.service.client import to_id
from gnas_serve.service.proto import recommender_pb2 as pb

_, LINKS, _, PRIOR = BLEND
ASKED = pb.SimilarItemsRequest(item_id=to_id(2003), k=4)


def test_popularity_alone_is_refused_at_both_doors(tmp_path: Path) -> None:
    artifact = write_blended_artifact(tmp_path / "artifact", branches=(PRIOR,))
    reply = HttpWorld(artifact).post("/v1/similar-items", {"item_id": 2003, "k": 4})
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (400, "no_similarity")
    assert "popularity alone" in problem["detail"]
    world = GrpcWorld(artifact)
    try:
        status, code, details = refused(lambda: world.stub.SimilarItems(ASKED))
    finally:
        world.close()
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "no_similarity")
    assert details == problem["detail"]


def test_links_are_answered_at_both_doors(tmp_path: Path) -> None:
    artifact = write_blended_artifact(tmp_path / "artifact", branches=(LINKS, PRIOR))
    http = HttpWorld(artifact)
    expected = http.recommender.similar_items(2003, 4)
    assert expected.item_ids
    items = http.post("/v1/similar-items", {"item_id": 2003, "k": 4}).json()["items"]
    assert [(item["item_id"], item["source"]) for item in items] == [(found, "item") for found in expected.item_ids]
    assert [item["score"] for item in items] == pytest.approx(expected.scores)
    world = GrpcWorld(artifact)
    try:
        response = world.stub.SimilarItems(ASKED)
    finally:
        world.close()
    assert [item.item_id.integer for item in response.items] == expected.item_ids
