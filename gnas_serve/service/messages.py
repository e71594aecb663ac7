"""Between protobuf messages and what the schemas and the runtime take: one rule per type of field, not one per call."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, SimilarUsersAnswer
from gnas_serve.service.calls import Signed
from gnas_serve.service.client import from_feature, from_id, to_id
from gnas_serve.service.proto import recommender_pb2 as pb


def fields_of(message: Message) -> dict[str, Any]:
    """Read what is set of a request, under the names of the HTTP door's fields; of lists the empty ones, too.

    An id with neither value set reads as empty text, which the schema refuses with the field's name.
    """
    lists = _lists(message.DESCRIPTOR)
    fields: dict[str, Any] = dict.fromkeys(lists, ())
    for field, value in message.ListFields():
        if not field.is_repeated:
            fields[field.name] = _value(value)
        elif field.name in lists:
            fields[field.name] = tuple(map(_value, value))
        else:
            fields[field.name] = {name: _value(one) for name, one in value.items()}
    return fields


@cache
def _lists(kind: Descriptor) -> tuple[str, ...]:
    """Name the fields that are lists, and no maps: these are repeated as well."""
    return tuple(field.name for field in kind.fields if field.is_repeated and not _is_map(field.message_type))


def _is_map(kind: Descriptor | None) -> bool:
    return kind is not None and kind.GetOptions().map_entry


def _value(value: Any) -> Any:
    if isinstance(value, pb.Id):
        return from_id(value)
    if isinstance(value, pb.Ids):
        return tuple(map(from_id, value.ids))
    if isinstance(value, pb.FeatureValue):
        return from_feature(value)
    return fields_of(value) if isinstance(value, Message) else value


def fill(message: Any, found: Signed[Answer], *, scores: bool = True) -> None:
    """Lay out one list of items in a message: the fields that all messages with one share.

    Items are made in their place: made outside and given to the message, each would be copied, at twice the time.
    """
    answer = found.answer
    add, source = message.items.add, answer.source
    for item_id, score in zip(answer.item_ids, answer.scores, strict=True):
        item = add()
        if isinstance(item_id, int):
            item.item_id.integer = item_id
        else:
            item.item_id.text = item_id
        if scores:
            item.score = score
        item.source = source
    if answer.explanations is not None:
        for item, explanation in zip(message.items, answer.explanations, strict=True):
            item.explanation.CopyFrom(_explanation(explanation.beside_item()))
    message.underfilled = answer.underfilled
    message.model.CopyFrom(pb.Model(**found.model))


def users_of(answer: SimilarUsersAnswer) -> list[pb.User]:
    """Lay out similar users."""
    return [
        pb.User(user_id=to_id(user_id), score=score, source=answer.source)
        for user_id, score in zip(answer.user_ids, answer.scores, strict=True)
    ]


def explained(found: Signed[Explanation]) -> pb.ExplainResponse:
    """Lay out one explanation in full."""
    explanation = found.answer
    return pb.ExplainResponse(
        item_id=to_id(explanation.item_id),
        source=explanation.source,
        explanation=_explanation(explanation.to_json()),
        model=pb.Model(**found.model),
    )


def _explanation(content: dict[str, Any]) -> pb.Explanation:
    reason = content["reason"]
    return pb.Explanation(
        score=content["score"],
        contributions=[
            pb.Contribution(item_id=to_id(part["item_id"]), contribution=part["contribution"])
            for part in content["contributions"]
        ],
        remainder=content["remainder"],
        exact=content["exact"],
        reason=pb.Reason(template=reason["template"], items=[to_id(item_id) for item_id in reason["items"]]),
    )
