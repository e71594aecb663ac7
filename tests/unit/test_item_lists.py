"""Lists of items in protobuf's format: the bytes that protobuf itself writes of the same messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.service.calls import Signed
from gnas_serve.service.client import to_id
from gnas_serve.service.item_lists import batch_response, list_response
from gnas_serve.service.messages import explanation_of
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.schemas import RecommendRequest
from gnas_serve.vocabulary import Id

SIGNATURE = {"name": "shop", "version": "2026-11"}
# Where a varint becomes a byte longer, and the ends of what there is.
INTEGERS = [0, *(edge for bits in range(7, 63, 7) for edge in ((1 << bits) - 1, 1 << bits)), (1 << 63) - 1]
TEXTS = ["a", "sku-00112", "\u00e9t\u00e9", "\U0001f6d2" * 64, "x" * 127, "x" * 128, "x" * 256, "\0", ""]
SCORES = [0.0, -0.0, 2.5, -1e300, 5e-324, math.inf, -math.inf, math.nan]


def signed(
    ids: list[Id], scores: list[float] | None = None, *, model: dict[str, Any] | None = None, **fields: Any
) -> Signed[Answer]:
    scores = [0.25 * place for place in range(len(ids))] if scores is None else scores
    answer = Answer(ids, scores, fields.pop("source", "user"), **fields)
    return Signed(answer, SIGNATURE if model is None else model)


def filled(message: Any, found: Signed[Answer], *, scores: bool = True) -> Any:
    """Fill any message of items as protobuf does it."""
    answer = found.answer
    for place, item_id in enumerate(answer.item_ids):
        source = answer.source if answer.sources is None else answer.sources[place]
        item = message.items.add(item_id=to_id(item_id), source=source)
        if scores:
            item.score = answer.scores[place]
        if answer.explanations is not None:
            item.explanation.CopyFrom(explanation_of(answer.explanations[place].beside_item()))
    message.underfilled = answer.underfilled
    message.model.CopyFrom(pb.Model(**found.model))
    return message


ANSWERS = {
    "canary": signed([7], model=SIGNATURE | {"variant": "canary", "propensity": 0.0}),
    "integers": signed([*INTEGERS, *(-number for number in INTEGERS), -(1 << 63)]),
    "long": signed(list(range(0, 7_000_000, 7000)), source="popularity"),
    "mixed": signed([1, "one", 1 << 40, "\u4e00"]),
    "no source": signed([300], source=""),
    "nobody": signed([300], model={"name": "", "version": ""}),
    "nothing": signed([], underfilled=True),
    "sources": signed([7, "new", 300], sources=("user", "content", "")),
    "scores": signed(list(range(len(SCORES))), SCORES),
    "texts": signed([*TEXTS], source="fold_in", underfilled=True),
}


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_bytes_are_protobufs(name: str, scores: bool) -> None:
    found = ANSWERS[name]
    written = list_response(found, scores=scores)
    for kind in (pb.RecommendResponse, pb.SimilarItemsResponse):
        assert written == filled(kind(), found, scores=scores).SerializeToString()


def test_random_answers() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(0, 40))
        numbers = (rng.integers(-(1 << 63), 1 << 63, count) >> rng.integers(0, 64, count)).tolist()
        ids: list[Id] = (
            numbers if rng.random() < 0.5 else [chr(97 + number % 26) * (number % 300) for number in numbers]
        )
        found = signed(ids, rng.normal(size=count).tolist(), source="item" * int(rng.integers(0, 40)))
        assert list_response(found) == filled(pb.RecommendResponse(), found).SerializeToString()


@pytest.mark.parametrize("ids", [[2001, 1 << 50], ["boots", ""]])
@pytest.mark.parametrize("scores", [True, False])
def test_explained(ids: list[Id], scores: bool) -> None:
    explanations = tuple(
        Explanation(item_id, 1.5, "user", tuple((other, 0.5) for other in ids * count), {"popularity": 0.25})
        for count, item_id in enumerate(ids)
    )
    found = signed(ids, explanations=explanations, underfilled=True)
    written = list_response(found, scores=scores)
    assert written == filled(pb.RecommendResponse(), found, scores=scores).SerializeToString()


def test_a_batch() -> None:
    answers = [(found, bool(place % 2)) for place, found in enumerate(ANSWERS.values())]
    message = pb.RecommendBatchResponse(model=pb.Model(**SIGNATURE))
    for found, scores in answers:
        filled(message.results.add(), found, scores=scores)
    assert batch_response(answers, SIGNATURE) == message.SerializeToString()
    assert batch_response([], SIGNATURE) == pb.RecommendBatchResponse(model=pb.Model(**SIGNATURE)).SerializeToString()


def test_a_number_that_is_no_id_is_not_written_as_another() -> None:
    with pytest.raises(ValueError, match="64"):
        list_response(signed([1 << 64]))


def test_a_question_is_the_runtimes() -> None:
    said = {"user_id": 7, "k": 3, "history": (1, 2), "exclude_seen": False, "candidates": (5,), "filter": "a == 1"}
    said |= {"exclude_items": (4,), "diversity": 0.5, "exploration": 0.25, "seed": 9, "explain": True, "strict": True}
    request = RecommendRequest.model_validate({**said, "return_scores": False, "user_features": {"age": 34}})
    query = request.query()
    expected = Query(**said, user_features=(("age", 34.0),))
    assert query == expected
    assert vars(query) == vars(expected)
    assert request.return_scores is False  # as it was
    assert vars(RecommendRequest().query()) == vars(Query())
