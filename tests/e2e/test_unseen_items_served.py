"""A real server asked about items that its catalogue does not have, at both doors."""

from __future__ import annotations

import json
import random
from pathlib import Path
from urllib.error import HTTPError

import pytest
from attribute_tables import attributes_of, random_table
from content_tables import METRICS, encoder_of
from served_process import AT_ONCE, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.client import recommend


def test_both_doors_answer_with_a_new_item(tmp_path: Path) -> None:
    attributes = attributes_of(random_table(random.Random(0), 80))
    artifact = write_tiny_artifact(tmp_path / "artifact", attributes=attributes, content=encoder_of)
    items = {"9001": {"category": "bag", "tags": ["a", "zz"], "price": 2}, "new": {"in_stock": True}}
    served = Served(str(artifact), tmp_path / "run", settings=AT_ONCE)
    try:
        by_http = served.http("/v1/recommend", {"user_id": 1003, "k": 80, "item_features": items})
        by_grpc = recommend(served.ready["grpc"], user_id=1003, k=80, item_features=items)
        assert by_http == by_grpc
        found = {one["item_id"]: one["source"] for one in by_http["items"]}
        assert (found[9001], found["new"], found[2010]) == ("content", "content", "user")
        asked = {"item_id": "new", "k": 3, "item_features": {"new": items["new"]}}
        assert [one["source"] for one in served.http("/v1/similar-items", asked)["items"]] == ["content"] * 3
        model = served.http("/v1/model")
        assert "tags" in model["item_features"]
        assert model["item_features_metrics"] == METRICS
        with pytest.raises(HTTPError) as refused:
            served.http("/v1/recommend", {"item_features": {"2010": {}}, "strict": True})
        assert refused.value.code == 422
        problem = json.loads(refused.value.read())
        assert problem["code"] == "known_item"
        assert "2010" in problem["detail"]
    finally:
        assert served.stop() == 0, served.log.read_text()
