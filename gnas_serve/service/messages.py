"""Between protobuf messages and what the schemas and the runtime take: one rule per type of field, not one per call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import SimilarUsersAnswer
from gnas_serve.service.calls import Signed
from gnas_serve.service.client import from_attribute, from_feature, from_id, to_id
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.vocabulary import Id


def fields_of(message: Message) -> dict[str, Any]:
    """Read what is set of a request, under the names of the HTTP door's fields; of lists the empty ones, too.

    An id with neither value set reads as empty text, which the schema refuses with the field's name.
    """
    layout = _layout(message.DESCRIPTOR)
    fields = layout.empty_lists.copy()
    for field, value in message.ListFields():
        name, read = layout.readers[field]
        fields[name] = value if read is None else read(value)
    return fields


_Read = Callable[[Any], Any]


@dataclass(frozen=True)
class _Layout:
    """What is known of a kind of message before any is read.

    Attributes
    ----------
    empty_lists
        The fields that are lists, and no maps: these are repeated as well.
    readers
        Name of each field, and what reads its value; None where it is taken as it is.
    """

    empty_lists: dict[str, Any]
    readers: dict[Any, tuple[str, _Read | None]]


@cache
def _layout(kind: Descriptor) -> _Layout:
    fields = kind.fields
    lists = [field.name for field in fields if field.is_repeated and not _is_map(field.message_type)]
    return _Layout(dict.fromkeys(lists, ()), {field: (field.name, _reader(field)) for field in fields})


def _reader(field: Any) -> _Read | None:
    kind: Descriptor | None = field.message_type
    if kind is None:
        return tuple if field.is_repeated else None
    if _is_map(kind):
        read = _reader(kind.fields_by_name["value"])
        return dict if read is None else partial(_mapped, read)
    read = _READERS.get(kind.full_name, fields_of)
    return partial(_listed, read) if field.is_repeated else read


def _is_map(kind: Any) -> bool:
    return kind is not None and kind.GetOptions().map_entry


def _mapped(read: _Read, values: Any) -> dict[str, Any]:
    return {name: read(value) for name, value in values.items()}


def _listed(read: _Read, values: Any) -> tuple[Any, ...]:
    return tuple(map(read, values))


def _ids(message: pb.Ids) -> tuple[Id, ...]:
    return _listed(from_id, message.ids)


def _attributes(message: pb.ItemAttributes) -> dict[str, Any]:
    return _mapped(from_attribute, message.attributes)


_READERS: dict[str, _Read] = {
    pb.FeatureValue.DESCRIPTOR.full_name: from_feature,
    pb.Id.DESCRIPTOR.full_name: from_id,
    pb.Ids.DESCRIPTOR.full_name: _ids,
    pb.ItemAttributes.DESCRIPTOR.full_name: _attributes,
}
"""Of messages that stand for values; all others are read field by field."""


def to_model(signature: dict[str, Any]) -> pb.Model:
    """Lay out who answered."""
    return pb.Model(**signature)


def similar_users(found: Signed[SimilarUsersAnswer]) -> pb.SimilarUsersResponse:
    """Lay out similar users."""
    answer = found.answer
    users = [
        pb.User(user_id=to_id(user_id), score=score, source=answer.source)
        for user_id, score in zip(answer.user_ids, answer.scores, strict=True)
    ]
    return pb.SimilarUsersResponse(users=users, model=to_model(found.model))


def explained(found: Signed[Explanation]) -> pb.ExplainResponse:
    """Lay out one explanation in full."""
    explanation = found.answer
    return pb.ExplainResponse(
        item_id=to_id(explanation.item_id),
        source=explanation.source,
        explanation=explanation_of(explanation.to_json()),
        model=to_model(found.model),
    )


def explanation_of(content: dict[str, Any]) -> pb.Explanation:
    """Lay out where a score comes from, given as the HTTP door shows it."""
    reason, others = content["reason"], content.get("others")
    return pb.Explanation(
        score=content["score"],
        contributions=_contributions(content["contributions"]),
        remainder=content["remainder"],
        exact=content["exact"],
        reason=pb.Reason(template=reason["template"], items=[to_id(item_id) for item_id in reason["items"]]),
        others=None if others is None else pb.Others(**others),
        like=_contributions(content.get("like", ())),
    )


def _contributions(parts: Iterable[dict[str, Any]]) -> list[pb.Contribution]:
    return [pb.Contribution(item_id=to_id(part["item_id"]), contribution=part["contribution"]) for part in parts]
