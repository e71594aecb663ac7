"""The gRPC door: the calls of the HTTP door over ``gnas.serve.v1.Recommender``, with health and reflection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from gnas_serve.errors import GnasError, StorageError
from gnas_serve.runtime.query import Answer
from gnas_serve.service.calls import Calls, model_facts
from gnas_serve.service.client import from_id, to_id
from gnas_serve.service.errors import CODE_KEY, HIDDEN, DeadlineError, detail_of, is_own_fault, statuses_of
from gnas_serve.service.ports import address
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.schemas import RecommendBatchRequest, RecommendRequest, SimilarItemsRequest, from_mapping
from gnas_serve.service.settings import MAX_BODY_BYTES, Settings
from gnas_serve.service.streams import MAX_STREAMS, BoundedHealth, BoundedReflection, Streams, decoded, encoded
from gnas_serve.service.telemetry import Telemetry

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

_log = logging.getLogger(__name__)


class GrpcDoor:
    """The gRPC server of one worker.

    Parameters
    ----------
    calls
        What it answers with.
    telemetry
        Counts requests.
    settings
        Host, port and limits.
    """

    def __init__(self, calls: Calls, telemetry: Telemetry, settings: Settings) -> None:
        self._calls = calls
        self._telemetry = telemetry
        self._settings = settings
        self._streams = Streams()
        self._health = BoundedHealth(self._streams)
        self._drain_began: float | None = None
        self._server: aio.Server | None = None

    async def open(self) -> int:
        """Listen, and report health as serving.

        Returns
        -------
        int
            The port; another than the settings' one only where they say 0.

        Raises
        ------
        StorageError
            If the port cannot be used.
        """
        server = aio.server(
            options=[
                # Each worker has a socket of its own on the one port; the kernel spreads the connections.
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", MAX_BODY_BYTES),
                # Connections live long in gRPC: without an age, a new worker would never get any.
                ("grpc.max_connection_age_ms", 300_000),
                ("grpc.max_connection_age_grace_ms", 10_000),
            ],
            # Streams of health and reflection last long: however many are open, the calls keep their own number.
            maximum_concurrent_rpcs=self._settings.max_in_flight + MAX_STREAMS,
        )
        own = grpc.method_handlers_generic_handler(SERVICE, self._handlers())
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        server.add_generic_rpc_handlers(
            (own, self._health.handler(), BoundedReflection(names, self._streams).handler())
        )
        listen = address(self._settings.grpc_host, self._settings.grpc_port)
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError as error:
            raise StorageError(
                f"the gRPC door cannot listen on {listen}", hint="choose another GNAS_GRPC_PORT", code="port_taken"
            ) from error
        await server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        return port

    async def drain(self) -> None:
        """Report health as not serving, for good; calls are still answered."""
        if self._drain_began is None:
            self._drain_began = perf_counter()
        await self._health.enter_graceful_shutdown()

    async def close(self) -> None:
        """Refuse new calls, let those in flight finish within what is left of the time to drain, stop."""
        await self.drain()
        if self._server is not None:
            spent_s = perf_counter() - (self._drain_began or 0.0)
            self._streams.end()
            await self._server.stop(max(0.0, self._settings.drain_s - spent_s))
            self._server = None

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, Message]]:
        return {
            "GetModel": self._unary("model", pb.GetModelRequest, self._model),
            "Recommend": self._unary("recommend", pb.RecommendRequest, self._recommend),
            "RecommendBatch": self._unary("recommend_batch", pb.RecommendBatchRequest, self._recommend_batch),
            "SimilarItems": self._unary("similar_items", pb.SimilarItemsRequest, self._similar_items),
        }

    def _unary(
        self, name: str, kind: type[Message], answer: Callable[[Any], Awaitable[Message]]
    ) -> grpc.RpcMethodHandler[bytes, Message]:
        async def behaviour(raw: bytes, context: Any) -> Message:
            started = perf_counter()
            code = grpc.StatusCode.CANCELLED
            self._telemetry.began("grpc")
            try:
                response = await self._in_time(answer(decoded(kind, raw)))
                code = grpc.StatusCode.OK
            except GnasError as error:
                code = statuses_of(error).grpc
                if is_own_fault(error):
                    _log.error("gRPC %s failed", name, exc_info=error)
                await context.abort(code, detail_of(error), trailing_metadata=((CODE_KEY, error.code),))
            except Exception:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
                _log.exception("gRPC %s failed", name)
                code = grpc.StatusCode.INTERNAL
                await context.abort(code, HIDDEN, ((CODE_KEY, "internal"),))
            finally:
                self._telemetry.ended("grpc", name, code.name, perf_counter() - started)
            return response

        # Bytes in, so that a message that cannot be decoded is the caller's error with a code, not the server's.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, encoded)

    async def _in_time(self, answer: Awaitable[Message]) -> Message:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await answer
        except TimeoutError as error:
            raise DeadlineError(
                f"no answer within {self._settings.timeout_s:g} s", hint="ask for less at once"
            ) from error

    async def _recommend(self, message: pb.RecommendRequest) -> Message:
        answer = self._calls.recommend(from_mapping(RecommendRequest, _query(message)))
        return pb.RecommendResponse(items=_items(answer), model=pb.Model(**self._calls.model.signature()))

    async def _recommend_batch(self, message: pb.RecommendBatchRequest) -> Message:
        queries = tuple(_query(query) for query in message.queries)
        answers = await self._calls.recommend_batch(from_mapping(RecommendBatchRequest, {"queries": queries}))
        return pb.RecommendBatchResponse(
            results=[pb.Ranking(items=_items(answer)) for answer in answers],
            model=pb.Model(**self._calls.model.signature()),
        )

    async def _similar_items(self, message: pb.SimilarItemsRequest) -> Message:
        fields: dict[str, object] = {"k": message.k} if message.HasField("k") else {}
        if message.HasField("item_id"):
            fields["item_id"] = from_id(message.item_id)
        answer = await self._calls.similar_items(from_mapping(SimilarItemsRequest, fields))
        return pb.SimilarItemsResponse(items=_items(answer), model=pb.Model(**self._calls.model.signature()))

    async def _model(self, _message: pb.GetModelRequest) -> Message:
        return pb.GetModelResponse(**model_facts(self._calls.model))


def _query(message: pb.RecommendRequest) -> dict[str, object]:
    fields: dict[str, object] = {"history": _ids(message.history), "exclude": _ids(message.exclude)}
    if message.HasField("user_id"):
        fields["user_id"] = from_id(message.user_id)
    if message.HasField("k"):
        fields["k"] = message.k
    if message.HasField("exclude_seen"):
        fields["exclude_seen"] = message.exclude_seen
    if message.HasField("candidates"):
        fields["candidates"] = _ids(message.candidates.ids)
    return fields


def _ids(messages: Iterable[pb.Id]) -> tuple[int | str, ...]:
    # An Id with neither value set reads as empty text, which the schema refuses with the field's name.
    return tuple(from_id(message) for message in messages)


def _items(answer: Answer) -> list[pb.Item]:
    return [
        pb.Item(item_id=to_id(item_id), score=score, source=answer.source)
        for item_id, score in zip(answer.item_ids, answer.scores, strict=True)
    ]
