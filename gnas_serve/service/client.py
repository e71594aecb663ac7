"""A minimal client of the gRPC door, for the quickstart and for checks; real callers generate their own stubs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from gnas_serve.runtime.told_values import FeatureValue, ItemValue
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub


def to_id(value: int | str) -> pb.Id:
    """Write an id as a message, in its own type."""
    return pb.Id(text=value) if isinstance(value, str) else pb.Id(integer=value)


def from_id(message: pb.Id) -> int | str:
    """Read an id from a message, in its own type; text where neither is set."""
    return message.integer if message.WhichOneof("value") == "integer" else message.text


def to_feature(value: FeatureValue) -> pb.FeatureValue:
    """Write what is known of a user as a message."""
    if value is None:
        return pb.FeatureValue()
    if isinstance(value, bool):
        return pb.FeatureValue(truth=value)
    return pb.FeatureValue(text=value) if isinstance(value, str) else pb.FeatureValue(number=value)


def from_feature(message: pb.FeatureValue) -> FeatureValue:
    """Read what is known of a user from a message; None where nothing is."""
    name = message.WhichOneof("value")
    return None if name is None else getattr(message, name)


def to_attribute(value: ItemValue) -> pb.AttributeValue:
    """Write what is known of an item as a message."""
    if value is None:
        return pb.AttributeValue()
    if isinstance(value, bool):
        return pb.AttributeValue(truth=value)
    if isinstance(value, str):
        return pb.AttributeValue(text=value)
    if isinstance(value, list | tuple):
        return pb.AttributeValue(texts=pb.Texts(texts=value))
    return pb.AttributeValue(number=value)


def from_attribute(message: pb.AttributeValue) -> ItemValue:
    """Read what is known of an item from a message; None where nothing is."""
    name = message.WhichOneof("value")
    if name is None:
        return None
    value = getattr(message, name)
    return tuple(value.texts) if name == "texts" else value


def recommend(
    target: str,
    *,
    user_id: int | str | None = None,
    k: int = 10,
    history: tuple[int | str, ...] = (),
    user_features: Mapping[str, FeatureValue] | None = None,
    item_features: Mapping[str, Mapping[str, ItemValue]] | None = None,
    timeout_s: float = 10.0,
) -> dict[str, Any]:
    """Ask the gRPC door once.

    Parameters
    ----------
    target
        ``host:port``.

    Returns
    -------
    dict
        The answer in the form of the HTTP door's.

    Raises
    ------
    grpc.RpcError
        With the door's code in the trailing metadata ``gnas-code``.
    """
    request = pb.RecommendRequest(k=k, history=[to_id(item_id) for item_id in history])
    if user_id is not None:
        request.user_id.CopyFrom(to_id(user_id))
    for name, value in (user_features or {}).items():
        request.user_features[name].CopyFrom(to_feature(value))
    for item_id, told in (item_features or {}).items():
        request.item_features[item_id].SetInParent()
        for name, one in told.items():
            request.item_features[item_id].attributes[name].CopyFrom(to_attribute(one))
    with grpc.insecure_channel(target) as channel:
        stub = RecommenderStub(channel)  # type: ignore[no-untyped-call]  # generated
        response = stub.Recommend(request, timeout=timeout_s, wait_for_ready=True)
    return {
        "items": [
            {"item_id": from_id(item.item_id), "score": item.score, "source": item.source} for item in response.items
        ],
        "underfilled": response.underfilled,
        "model": {"name": response.model.name, "version": response.model.version},
    }
