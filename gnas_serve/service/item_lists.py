"""Lists of items as protobuf messages, written as bytes.

To fill a message and have it written takes more of a request than anything else at the gRPC door, and nearly all of
its bytes are known before: what varies of an item are its id and its score. The bytes are those that protobuf writes.

References
----------
Protocol Buffers, "Encoding": https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

from google.protobuf.message import Message

from gnas_serve.runtime.query import Answer
from gnas_serve.service.calls import Signed
from gnas_serve.service.messages import explanation_of, to_model
from gnas_serve.service.proto import recommender_pb2 as pb

_VARINT, _FIXED64, _BYTES = 0, 1, 2  # types of the wire
_LONGEST_VARINT = 10


def list_response(found: Signed[Answer], *, scores: bool = True) -> bytes:
    """Write a ``RecommendResponse``, or a ``SimilarItemsResponse``, whose fields are the same."""
    parts = _items(found.answer, scores=scores)
    parts.append(_model(_RESPONSE_MODEL, tuple(found.model.items())))
    if found.answer.underfilled:
        parts.append(_RESPONSE_UNDERFILLED)
    return b"".join(parts)


def batch_response(answers: list[tuple[Signed[Answer], bool]], model: dict[str, Any]) -> bytes:
    """Write a ``RecommendBatchResponse``.

    Parameters
    ----------
    answers
        Each with whether its items have scores.
    model
        The signature of the stable one.
    """
    parts = [_delimited(_RESULTS, _ranking(found, scores=scores)) for found, scores in answers]
    parts.append(_model(_BATCH_MODEL, tuple(model.items())))
    return b"".join(parts)


def _ranking(found: Signed[Answer], *, scores: bool) -> bytes:
    parts = _items(found.answer, scores=scores)
    if found.answer.underfilled:
        parts.append(_RANKING_UNDERFILLED)
    parts.append(_model(_RANKING_MODEL, tuple(found.model.items())))
    return b"".join(parts)


def _items(answer: Answer, *, scores: bool) -> list[bytes]:
    values = [_score(_SCORE, value) for value in answer.scores] if scores else [b""] * len(answer.scores)
    if answer.explanations is not None or answer.sources is not None:
        return _items_apart(answer, values)
    source = _source(answer.source)
    after = len(source) + (_SCORE_BYTES if scores else 0)
    of_integer = _heads_of_integers(after)
    parts: list[bytes] = []
    for item_id, value in zip(answer.item_ids, values, strict=True):
        if isinstance(item_id, int):
            written = _varint(item_id)
            parts += of_integer[len(written)], written, value, source
        else:
            written = item_id.encode()
            parts += _head_of_text(len(written), after), written, value, source
    return parts


def _items_apart(answer: Answer, values: list[bytes]) -> list[bytes]:
    """Write items that differ in more than id and score: in how they were found, or where their scores come from."""
    parts = []
    count = len(answer.item_ids)
    sources, explanations = answer.sources or (answer.source,) * count, answer.explanations or (None,) * count
    for item_id, value, source, explanation in zip(answer.item_ids, values, sources, explanations, strict=True):
        if isinstance(item_id, int):
            written = bytes((_INTEGER,)) + _varint(item_id)
        else:
            written = _delimited(_TEXT, item_id.encode())
        explained = b""
        if explanation is not None:
            explained = _delimited(_EXPLANATION, explanation_of(explanation.beside_item()).SerializeToString())
        parts.append(_delimited(_ITEMS, _delimited(_ITEM_ID, written) + value + _source(source) + explained))
    return parts


@lru_cache(64)
def _heads_of_integers(after: int) -> tuple[bytes, ...]:
    """Give what stands before an integer id, by the length of its varint.

    Parameters
    ----------
    after
        Length of what stands behind it of the same item.
    """
    return tuple(_head(bytes((_INTEGER,)), length, after) for length in range(_LONGEST_VARINT + 1))


@lru_cache(2048)
def _head_of_text(length: int, after: int) -> bytes:
    return _head(bytes((_TEXT,)) + _varint(length), length, after)


def _head(before: bytes, length: int, after: int) -> bytes:
    id_length = len(before) + length
    id_head = bytes((_ITEM_ID,)) + _varint(id_length)
    return bytes((_ITEMS,)) + _varint(len(id_head) + id_length + after) + id_head + before


@lru_cache(64)
def _source(source: str) -> bytes:
    return _delimited(_SOURCE, source.encode()) if source else b""


@lru_cache(64)
def _model(tag: int, signature: tuple[tuple[str, Any], ...]) -> bytes:
    return _delimited(tag, to_model(dict(signature)).SerializeToString())


def _delimited(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Write an integer of 64 bits: seven at a time, the lowest first, the negative ones as their complement."""
    if 0x3FFF < number < 0x200000:  # the usual lengths at once
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    if 0x7F < number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{number} is no integer of 64 bits")
    number &= 0xFFFF_FFFF_FFFF_FFFF
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _tag(kind: type[Message], field: str, wire_type: int) -> int:
    return kind.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type


_INTEGER, _TEXT = _tag(pb.Id, "integer", _VARINT), _tag(pb.Id, "text", _BYTES)
_ITEM_ID, _SCORE = _tag(pb.Item, "item_id", _BYTES), _tag(pb.Item, "score", _FIXED64)
_SOURCE, _EXPLANATION = _tag(pb.Item, "source", _BYTES), _tag(pb.Item, "explanation", _BYTES)
_ITEMS, _RESPONSE_MODEL = _tag(pb.RecommendResponse, "items", _BYTES), _tag(pb.RecommendResponse, "model", _BYTES)
_RESULTS, _BATCH_MODEL = (
    _tag(pb.RecommendBatchResponse, "results", _BYTES),
    _tag(pb.RecommendBatchResponse, "model", _BYTES),
)
_RANKING_MODEL = _tag(pb.Ranking, "model", _BYTES)
_RESPONSE_UNDERFILLED = bytes((_tag(pb.RecommendResponse, "underfilled", _VARINT), 1))
_RANKING_UNDERFILLED = bytes((_tag(pb.Ranking, "underfilled", _VARINT), 1))
_score = Struct("<Bd").pack
_SCORE_BYTES = len(_score(_SCORE, 0.0))
