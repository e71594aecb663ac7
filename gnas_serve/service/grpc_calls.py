"""The calls of the gRPC door: admitted, read, answered within their time, counted, and refused with a code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message

from gnas_serve.errors import GnasError
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
from gnas_serve.service.item_lists import batch_response, list_response
from gnas_serve.service.messages import explained, fields_of, similar_users
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.request_ids import HEADER, request_id_of
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    RequestModel,
    SimilarItemsRequest,
    SimilarUsersRequest,
    from_mapping,
)
from gnas_serve.service.settings import Settings
from gnas_serve.service.streams import decoded
from gnas_serve.service.telemetry import Telemetry

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
"""Full name of the service that has the calls."""

_Work = Coroutine[Any, Any, bytes]

_log = logging.getLogger(__name__)


class GrpcCalls:
    """What one worker answers at its gRPC door.

    Parameters
    ----------
    calls
        What it answers with.
    telemetry
        Counts requests.
    settings
        The limits.
    admission
        Who may call, and how often.
    """

    def __init__(self, calls: Calls, telemetry: Telemetry, settings: Settings, admission: Admission) -> None:
        self._calls = calls
        self._telemetry = telemetry
        self._settings = settings
        self._admission = admission
        self._in_flight = 0

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """Describe the service to a server."""
        methods = {
            "Explain": self._unary("explain", self._explain),
            "Feedback": self._unary("feedback", self._feedback),
            "GetModel": self._unary("model", self._model),
            "Rank": self._unary("rank", self._rank),
            "Recommend": self._unary("recommend", self._recommend),
            "RecommendBatch": self._unary("recommend_batch", self._recommend_batch),
            "SimilarItems": self._unary("similar_items", self._similar_items),
            "SimilarUsers": self._unary("similar_users", self._similar_users),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _unary(self, name: str, answer: Callable[[bytes], bytes | _Work]) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Make the handler of a call.

        Parameters
        ----------
        name
            Of the call in metrics and logs.
        answer
            Gives the message of the answer to that of the request: at once, or as work that has to wait for something.
        """

        async def behaviour(raw: bytes, context: Any) -> bytes:
            started = perf_counter()
            code = grpc.StatusCode.CANCELLED
            sent = _metadata(context)
            request_id = request_id_of(sent.get(HEADER, b"")).decode()
            given_back = (HEADER, request_id)
            context.set_trailing_metadata((given_back,))
            self._telemetry.began("grpc", sent.get("traceparent", b""), sent.get("tracestate", b""))
            self._in_flight += 1
            try:
                self._admit(sent, context)
                await asyncio.sleep(0)  # as at the HTTP door: whoever waits is counted
                found = answer(raw)
                response = found if isinstance(found, bytes) else await self._in_time(found)
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
        return grpc.unary_unary_rpc_method_handler(behaviour, None, None)

    def _admit(self, sent: dict[str, bytes], context: Any) -> None:
        host = _host(context.peer()) if self._admission.counts else ""
        self._admission.admit(sent.get("authorization", b""), sent.get("x-api-key", b""), host)
        if self._in_flight > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")

    async def _in_time(self, work: _Work) -> bytes:
        try:
            return await within(self._settings.timeout_s, work)
        except TimeoutError as error:
            limit = f"{self._settings.timeout_s:g} s"
            raise DeadlineError(f"no answer within {limit}", hint="ask for less at once") from error

    def _recommend(self, raw: bytes) -> bytes:
        request = _read(RecommendRequest, pb.RecommendRequest, raw)
        return list_response(self._calls.recommend(request), scores=request.return_scores)

    def _rank(self, raw: bytes) -> bytes:
        request = _read(RankRequest, pb.RankRequest, raw)
        return list_response(self._calls.rank(request), scores=request.return_scores)

    def _explain(self, raw: bytes) -> bytes:
        return explained(self._calls.explain(_read(ExplainRequest, pb.ExplainRequest, raw))).SerializeToString()

    def _model(self, raw: bytes) -> bytes:
        decoded(pb.GetModelRequest, raw)
        return pb.GetModelResponse(**model_facts(self._calls.model)).SerializeToString()

    async def _recommend_batch(self, raw: bytes) -> bytes:
        request = _read(RecommendBatchRequest, pb.RecommendBatchRequest, raw)
        answers = await self._calls.recommend_batch(request)
        scored = [query.return_scores for query in request.queries]
        return batch_response(list(zip(answers, scored, strict=True)), self._calls.model.signature())

    async def _similar_items(self, raw: bytes) -> bytes:
        request = _read(SimilarItemsRequest, pb.SimilarItemsRequest, raw)
        return list_response(await self._calls.similar_items(request))

    async def _similar_users(self, raw: bytes) -> bytes:
        request = _read(SimilarUsersRequest, pb.SimilarUsersRequest, raw)
        return similar_users(await self._calls.similar_users(request)).SerializeToString()

    async def _feedback(self, raw: bytes) -> bytes:
        done = await self._calls.feedback(_read(FeedbackRequest, pb.FeedbackRequest, raw))
        reply = pb.FeedbackResponse(written=done.written, duplicates=done.duplicates, warnings=done.unlike.warnings)
        return reply.SerializeToString()


def _read(model: type[RequestModel], kind: type[Message], raw: bytes) -> RequestModel:
    return from_mapping(model, fields_of(decoded(kind, raw)))


def _metadata(context: Any) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else value.encode() for name, value in context.invocation_metadata()
    }


def _host(peer: str) -> str:
    """Give the address in ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``, as the HTTP door names it.

    The port is another one with every connection.
    """
    return unquote(peer.rpartition(":")[0].partition(":")[2]).strip("[]")
