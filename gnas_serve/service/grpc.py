"""The gRPC door: the calls of the HTTP door over ``gnas.serve.v1.Recommender``, with health and reflection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from gnas_serve.errors import GnasError, StorageError
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls, model_facts
from gnas_serve.service.deadline import within
from gnas_serve.service.errors import (
    CODE_KEY,
    HIDDEN,
    DeadlineError,
    OverloadedError,
    detail_of,
    is_own_fault,
    statuses_of,
)
from gnas_serve.service.messages import explained, fields_of, fill, users_of
from gnas_serve.service.ports import address
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.request_ids import HEADER, request_id_of
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
    from_mapping,
)
from gnas_serve.service.settings import Settings
from gnas_serve.service.streams import MAX_STREAMS, BoundedHealth, BoundedReflection, Streams, decoded, encoded
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.tls import server_credentials

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

_LEAST_PENDING = 512
_AGAIN_S = 0.5

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
        Host, port, limits and TLS.
    admission
        Who may call, and how often.
    """

    def __init__(self, calls: Calls, telemetry: Telemetry, settings: Settings, admission: Admission) -> None:
        self._calls = calls
        self._admission = admission
        self._telemetry = telemetry
        self._settings = settings
        self._streams = Streams()
        self._health = BoundedHealth(self._streams)
        self._in_flight = 0
        self._drain_began: float | None = None
        self._server: aio.Server | None = None
        self._port = settings.grpc_port
        self._replacing: asyncio.Future[None] | None = None

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
        ConfigError
            If a certificate or key cannot be.
        """
        server, self._port = self._bound()
        await self._start(server)
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self._port

    def _bound(self) -> tuple[aio.Server, int]:
        # Of callers who come faster than they are answered grpcio shows us one at a time: the others wait in its own
        # queue. Beyond this many it ends a call itself, as cancelled; it offers no other code, and a refusal of ours
        # costs so much of an answer that at twice the load nothing would be left for answers.
        pending = max(2 * self._settings.max_in_flight, _LEAST_PENDING)
        server = aio.server(
            options=[
                # Each worker has a socket of its own on the one port; the kernel spreads the connections.
                ("grpc.so_reuseport", 1),
                ("grpc.server.max_pending_requests", pending),
                ("grpc.server.max_pending_requests_hard_limit", pending),
                ("grpc.max_receive_message_length", self._settings.max_body_bytes),
                # Connections live long in gRPC: without an age, a new worker would never get any.
                ("grpc.max_connection_age_ms", 300_000),
                ("grpc.max_connection_age_grace_ms", 10_000),
            ],
            # Calls beyond their own number are refused by the handler, with a code. This bounds what comes before it,
            # and streams of health and reflection, which last long.
            maximum_concurrent_rpcs=2 * self._settings.max_in_flight + MAX_STREAMS,
        )
        own = grpc.method_handlers_generic_handler(SERVICE, self._handlers())
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        server.add_generic_rpc_handlers(
            (own, self._health.handler(), BoundedReflection(names, self._streams).handler())
        )
        listen = address(self._settings.grpc_host, self._port)
        try:
            credentials = server_credentials(self._settings)
            port = server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
        except RuntimeError as error:
            raise StorageError(
                f"the gRPC door cannot listen on {listen}", hint="choose another GNAS_GRPC_PORT", code="port_taken"
            ) from error
        return server, port

    async def _start(self, server: aio.Server) -> None:
        self._server = server
        before = asyncio.all_tasks()
        await server.start()
        for task in asyncio.all_tasks() - before:
            task.add_done_callback(lambda done: self._attend(server, done))

    def _attend(self, server: aio.Server, done: asyncio.Task[Any]) -> None:
        # grpcio takes calls in a task of its own, and that ends for good at a call whose path is no UTF-8: anybody
        # could close the door for all. Another server takes its place at once; what is in flight finishes in the old.
        if server is self._server and not done.cancelled() and done.exception() is not None:
            _log.error("the gRPC door ended, and is opened again", exc_info=done.exception())
            self._replacing = asyncio.ensure_future(self._replace(server, self._bound_again()))

    def _bound_again(self) -> aio.Server | None:
        # Before the old one is closed, which happens next: no caller finds nobody there.
        try:
            return self._bound()[0]
        except GnasError as error:
            _log.error("the gRPC door cannot be opened again yet", exc_info=error)
            return None

    async def _replace(self, ended: aio.Server, server: aio.Server | None) -> None:
        while server is None:
            await asyncio.sleep(_AGAIN_S)
            server = self._bound_again()
        await self._start(server)
        with contextlib.suppress(UnicodeDecodeError):  # of the task that ended
            await ended.stop(self._settings.timeout_s)

    async def drain(self) -> None:
        """Report health as not serving, for good; calls are still answered."""
        if self._drain_began is None:
            self._drain_began = perf_counter()
        await self._health.enter_graceful_shutdown()

    async def close(self) -> None:
        """Refuse new calls, let those in flight finish within what is left of the time to drain, stop."""
        await self.drain()
        server, self._server = self._server, None
        if server is not None:
            spent_s = perf_counter() - (self._drain_began or 0.0)
            self._streams.end()
            await server.stop(max(0.0, self._settings.drain_s - spent_s))
        if self._replacing is not None:
            self._replacing.cancel()

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, Message]]:
        return {
            "Explain": self._unary("explain", pb.ExplainRequest, self._explain),
            "Feedback": self._unary("feedback", pb.FeedbackRequest, self._feedback),
            "GetModel": self._unary("model", pb.GetModelRequest, self._model),
            "Rank": self._unary("rank", pb.RankRequest, self._rank),
            "Recommend": self._unary("recommend", pb.RecommendRequest, self._recommend),
            "RecommendBatch": self._unary("recommend_batch", pb.RecommendBatchRequest, self._recommend_batch),
            "SimilarItems": self._unary("similar_items", pb.SimilarItemsRequest, self._similar_items),
            "SimilarUsers": self._unary("similar_users", pb.SimilarUsersRequest, self._similar_users),
        }

    def _unary(
        self, name: str, kind: type[Message], answer: Callable[[Any], Coroutine[Any, Any, Message]]
    ) -> grpc.RpcMethodHandler[bytes, Message]:
        async def behaviour(raw: bytes, context: Any) -> Message:
            started = perf_counter()
            code = grpc.StatusCode.CANCELLED
            sent = _metadata(context)
            request_id = request_id_of(sent.get(HEADER, b"")).decode()
            given_back = (HEADER, request_id)
            context.set_trailing_metadata((given_back,))
            self._telemetry.began("grpc", sent.get("traceparent", b""), sent.get("tracestate", b""))
            self._in_flight += 1
            try:
                self._admit(sent, context.peer())
                await asyncio.sleep(0)  # as at the HTTP door: whoever waits is counted
                response = await self._in_time(answer(decoded(kind, raw)))
                code = grpc.StatusCode.OK
            except GnasError as error:
                code = statuses_of(error).grpc
                if is_own_fault(error):
                    _log.error("request %s failed: gRPC %s", request_id, name, exc_info=error)
                await context.abort(code, detail_of(error), trailing_metadata=((CODE_KEY, error.code), given_back))
            except Exception:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
                _log.exception("request %s failed: gRPC %s", request_id, name)
                code = grpc.StatusCode.INTERNAL
                await context.abort(code, HIDDEN, ((CODE_KEY, "internal"), given_back))
            finally:
                self._in_flight -= 1
                self._telemetry.ended("grpc", name, code.name, perf_counter() - started, request_id)
            return response

        # Bytes in, so that a message that cannot be decoded is the caller's error with a code, not the server's.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, encoded)

    def _admit(self, sent: dict[str, bytes], peer: str) -> None:
        self._admission.admit(sent.get("authorization", b""), sent.get("x-api-key", b""), _host(peer))
        if self._in_flight > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")

    async def _in_time(self, answer: Coroutine[Any, Any, Message]) -> Message:
        try:
            return await within(self._settings.timeout_s, answer)
        except TimeoutError as error:
            limit = f"{self._settings.timeout_s:g} s"
            raise DeadlineError(f"no answer within {limit}", hint="ask for less at once") from error

    async def _recommend(self, message: pb.RecommendRequest) -> Message:
        request = from_mapping(RecommendRequest, fields_of(message))
        response = pb.RecommendResponse()
        fill(response, self._calls.recommend(request), scores=request.return_scores)
        return response

    async def _recommend_batch(self, message: pb.RecommendBatchRequest) -> Message:
        request = from_mapping(RecommendBatchRequest, fields_of(message))
        answers = await self._calls.recommend_batch(request)
        stable = self._calls.model
        response = pb.RecommendBatchResponse(model=pb.Model(name=stable.name, version=stable.version))
        for answer, query in zip(answers, request.queries, strict=True):
            fill(response.results.add(), answer, scores=query.return_scores)
        return response

    async def _rank(self, message: pb.RankRequest) -> Message:
        request = from_mapping(RankRequest, fields_of(message))
        response = pb.RecommendResponse()
        fill(response, self._calls.rank(request), scores=request.return_scores)
        return response

    async def _similar_items(self, message: pb.SimilarItemsRequest) -> Message:
        response = pb.SimilarItemsResponse()
        fill(response, await self._calls.similar_items(from_mapping(SimilarItemsRequest, fields_of(message))))
        return response

    async def _similar_users(self, message: pb.SimilarUsersRequest) -> Message:
        found = await self._calls.similar_users(from_mapping(SimilarUsersRequest, fields_of(message)))
        return pb.SimilarUsersResponse(users=users_of(found.answer), model=pb.Model(**found.model))

    async def _explain(self, message: pb.ExplainRequest) -> Message:
        return explained(self._calls.explain(from_mapping(ExplainRequest, fields_of(message))))

    async def _feedback(self, message: pb.FeedbackRequest) -> Message:
        done = await self._calls.feedback(from_mapping(FeedbackRequest, fields_of(message)))
        return pb.FeedbackResponse(written=done.written, duplicates=done.duplicates)

    async def _model(self, _message: pb.GetModelRequest) -> Message:
        return pb.GetModelResponse(**model_facts(self._calls.model))


def _metadata(context: Any) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else value.encode() for name, value in context.invocation_metadata()
    }


def _host(peer: str) -> str:
    """Give the address in ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``, as the HTTP door names it.

    The port is another one with every connection.
    """
    return unquote(peer.rpartition(":")[0].partition(":")[2]).strip("[]")
