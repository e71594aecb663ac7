"""The services beside the calls, health and reflection.

Their long streams are bounded together, and ended at a stop. Like the calls' own handlers they take bytes: a message
that cannot be decoded is the caller's error, and grpcio would answer it as the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gnas_serve.errors import RequestError
from gnas_serve.service.errors import CODE_KEY, detail_of, statuses_of

MAX_STREAMS = 256
_LAST_WORD_S = 0.1
_Message = TypeVar("_Message", bound=Message)


class Streams:
    """Counts the streams that are open in one worker; a context manager around each."""

    def __init__(self) -> None:
        self._open = 0
        self._ended = asyncio.Event()

    def is_full(self) -> bool:
        """Tell whether there is no room for another stream."""
        return self._open >= MAX_STREAMS

    def __enter__(self) -> None:
        self._open += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open -= 1

    def end(self) -> None:
        """End all of them: a server that stops would otherwise wait for watchers that never leave."""
        self._ended.set()

    async def wait_for(self, work: asyncio.Future[Any]) -> bool:
        """Wait until a piece of a stream's work is done, or all streams are to end.

        Returns
        -------
        bool
            Whether it is done; where not, it is cancelled.
        """
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                # The last word, "not serving", may be on its way.
                await asyncio.wait({work}, timeout=_LAST_WORD_S)
            return work.done()
        finally:
            ended.cancel()
            work.cancel()


def decoded(kind: type[_Message], raw: bytes) -> _Message:
    """Decode a request.

    Raises
    ------
    RequestError
        If the bytes are no such message.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise RequestError(f"not a {kind.DESCRIPTOR.full_name} message", code="invalid_message") from error


def encoded(message: Message) -> bytes:
    """Encode a response."""
    return message.SerializeToString()


async def _request(kind: type[_Message], raw: bytes, context: Any) -> _Message:
    try:
        return decoded(kind, raw)
    except RequestError as error:
        await context.abort(statuses_of(error).grpc, detail_of(error), ((CODE_KEY, error.code),))
        raise


async def _refuse(context: Any) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} health and reflection streams are open")


class BoundedHealth(health.aio.HealthServicer):  # type: ignore[name-defined,misc]  # missing in its types
    """The health service, with a bound on its watchers.

    Parameters
    ----------
    streams
        Those of the worker.
    """

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, Message]]:
        """Give the handlers of its methods, by their paths."""
        return {
            f"/{health.SERVICE_NAME}/Check": grpc.unary_unary_rpc_method_handler(self.Check, None, encoded),
            f"/{health.SERVICE_NAME}/Watch": grpc.unary_stream_rpc_method_handler(self.Watch, None, encoded),
        }

    async def Check(self, raw: bytes, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802  # the protocol's
        """Report a service's health."""
        return await super().Check(await _request(health_pb2.HealthCheckRequest, raw, context), context)

    async def Watch(self, raw: bytes, context: Any) -> None:  # noqa: N802  # the protocol's
        """Report every change of a service's health, for as long as the caller stays."""
        request = await _request(health_pb2.HealthCheckRequest, raw, context)
        if self._streams.is_full():
            await _refuse(context)
        with self._streams:
            # Ended by returning: a handler that is cancelled sends no status, and the server waits for one.
            watching = asyncio.ensure_future(super().Watch(request, context))
            if await self._streams.wait_for(watching):
                watching.result()


class BoundedReflection(reflection.aio.ReflectionServicer):  # type: ignore[name-defined,misc]  # missing in its types
    """The reflection service, with a bound on its streams.

    Parameters
    ----------
    names
        Full names of the services to describe.
    streams
        Those of the worker.
    """

    def __init__(self, names: Iterable[str], streams: Streams) -> None:
        super().__init__(service_names=names)
        self._streams = streams

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, Message]]:
        """Give the handler of its method, by its path."""
        made = grpc.stream_stream_rpc_method_handler(self.ServerReflectionInfo, None, encoded)
        return {f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": made}

    async def ServerReflectionInfo(  # noqa: N802  # the protocol's
        self, requests: AsyncIterable[bytes], context: Any
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Describe services and messages, question by question."""
        if self._streams.is_full():
            await _refuse(context)
        with self._streams:
            async for response in super().ServerReflectionInfo(self._until_end(requests, context), context):
                yield response

    async def _until_end(
        self, requests: AsyncIterable[bytes], context: Any
    ) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        iterator = aiter(requests)
        while True:
            asked = asyncio.ensure_future(anext(iterator))
            if not await self._streams.wait_for(asked):
                return
            try:
                raw = asked.result()
            except StopAsyncIteration:
                return
            yield await _request(reflection_pb2.ServerReflectionRequest, raw, context)
