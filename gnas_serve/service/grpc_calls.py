"""The calls of the gRPC door: admitted, read, answered within their time, counted, and refused with a code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message

from gnas_serve.errors import GnasError
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, ModelInfo, SimilarUsersAnswer
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls, Signed, model_facts
from gnas_serve.service.cohort import Cohorts
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
from gnas_serve.service.feedback import Taken
from gnas_serve.service.item_lists import batch_response, list_response
from gnas_serve.service.messages import explained, fields_of, similar_users
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.request_ids import HEADER, request_id_of
from gnas_serve.service.routes import Route, route_named
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
from gnas_serve.service.trail import followed

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
"""Full name of the service that has the calls."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call: its method, its name at both doors, and how its messages are read and laid out.

    What answers it is what answers it at the HTTP door.
    """

    method: str
    name: str
    read: Callable[[bytes], Any]
    lay_out: Callable[[Any, Any], bytes]

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.method}"

    @property
    def route(self) -> Route:
        return route_named(self.name)


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
        self._cohorts = Cohorts()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Give the handlers of the service's methods, by their paths."""
        return {call.path: self._unary(call) for call in _CALLS}

    def refused(self, path: str, status: grpc.StatusCode, after_s: float, request_id: str) -> None:
        """Count a call that is refused before its handler, unless its method is of another service."""
        if path in _NAMES:
            self._telemetry.began("grpc")
            self._telemetry.ended("grpc", _NAMES[path], status.name, after_s, request_id)

    def _unary(self, call: _Call) -> grpc.RpcMethodHandler[bytes, bytes]:
        answers, is_immediate = call.route.answer, call.route.is_immediate

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
                question = call.read(raw)
                # Whoever waits for a turn is counted by those who come, as at the HTTP door. And who came in one turn
                # takes the steps together: all are read, then all answered, then all answers laid out.
                if is_immediate:
                    answer = await self._cohorts.answer(followed(answers(self._calls, question)))
                else:
                    await asyncio.sleep(0)
                    answer = await self._in_time(answers(self._calls, question))
                response = call.lay_out(question, answer)
                code = grpc.StatusCode.OK
            except GnasError as error:
                code = statuses_of(error).grpc
                if is_own_fault(error):
                    _log.error("request %s failed: gRPC %s", request_id, call.name, exc_info=error)
                await context.abort(code, detail_of(error), trailing_metadata=((CODE_KEY, error.code), given_back))
            except Exception:  # noqa: BLE001  # the service boundary: a bug answers as one, and the server goes on
                _log.exception("request %s failed: gRPC %s", request_id, call.name)
                code = grpc.StatusCode.INTERNAL
                await context.abort(code, HIDDEN, ((CODE_KEY, "internal"), given_back))
            finally:
                self._in_flight -= 1
                self._telemetry.ended("grpc", call.name, code.name, perf_counter() - started, request_id)
            return response

        # Bytes in, so that a message that cannot be decoded is the caller's error with a code, not the server's.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, None)

    def _admit(self, sent: dict[str, bytes], context: Any) -> None:
        host = _host(context.peer()) if self._admission.counts else ""
        self._admission.admit(sent.get("authorization", b""), sent.get("x-api-key", b""), host)
        if self._in_flight > self._settings.max_in_flight:
            raise OverloadedError("too many requests at once", hint="try again in a second")

    async def _in_time(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await within(self._settings.timeout_s, work)
        except TimeoutError as error:
            limit = f"{self._settings.timeout_s:g} s"
            raise DeadlineError(f"no answer within {limit}", hint="ask for less at once") from error


def _reads(model: type[RequestModel], kind: type[Message]) -> Callable[[bytes], RequestModel]:
    return lambda raw: from_mapping(model, fields_of(decoded(kind, raw)))


def _as_list(request: RecommendRequest | RankRequest, found: Signed[Answer]) -> bytes:
    return list_response(found, scores=request.return_scores)


def _as_lists(request: RecommendBatchRequest, found: tuple[list[Signed[Answer]], dict[str, Any]]) -> bytes:
    answers, model = found
    scored = [query.return_scores for query in request.queries]
    return batch_response(list(zip(answers, scored, strict=True)), model)


def _as_neighbours(_: SimilarItemsRequest, found: Signed[Answer]) -> bytes:
    return list_response(found)


def _as_users(_: SimilarUsersRequest, found: Signed[SimilarUsersAnswer]) -> bytes:
    return similar_users(found).SerializeToString()


def _as_explanation(_: ExplainRequest, found: Signed[Explanation]) -> bytes:
    return explained(found).SerializeToString()


def _as_model(_: object, found: ModelInfo) -> bytes:
    return pb.GetModelResponse(**model_facts(found)).SerializeToString()


def _as_acknowledged(_: FeedbackRequest, done: Taken) -> bytes:
    reply = pb.FeedbackResponse(written=done.written, duplicates=done.duplicates, warnings=done.unlike.warnings)
    return reply.SerializeToString()


_CALLS = (
    _Call("Explain", "explain", _reads(ExplainRequest, pb.ExplainRequest), _as_explanation),
    _Call("Feedback", "feedback", _reads(FeedbackRequest, pb.FeedbackRequest), _as_acknowledged),
    _Call("GetModel", "model", partial(decoded, pb.GetModelRequest), _as_model),
    _Call("Rank", "rank", _reads(RankRequest, pb.RankRequest), _as_list),
    _Call("Recommend", "recommend", _reads(RecommendRequest, pb.RecommendRequest), _as_list),
    _Call("RecommendBatch", "recommend_batch", _reads(RecommendBatchRequest, pb.RecommendBatchRequest), _as_lists),
    _Call("SimilarItems", "similar_items", _reads(SimilarItemsRequest, pb.SimilarItemsRequest), _as_neighbours),
    _Call("SimilarUsers", "similar_users", _reads(SimilarUsersRequest, pb.SimilarUsersRequest), _as_users),
)

_NAMES = {call.path: call.name for call in _CALLS}


def _metadata(context: Any) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else value.encode() for name, value in context.invocation_metadata()
    }


def _host(peer: str) -> str:
    """Give the address in ``ipv4:127.0.0.1:1234`` or ``ipv6:%5B::1%5D:1234``, as the HTTP door names it.

    The port is another one with every connection.
    """
    return unquote(peer.rpartition(":")[0].partition(":")[2]).strip("[]")
