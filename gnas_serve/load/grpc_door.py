"""The client's side of the gRPC door: ``Recommend`` over grpc.aio, messages written once and read only where judged."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from gnas_serve.load.lane import REPLY_LIMIT_S, TIMEOUT, UNREACHABLE, Items, Reply
from gnas_serve.service.client import from_id, to_id
from gnas_serve.service.ports import address
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.vocabulary import Id

_SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"]
METHOD = f"/{_SERVICE.full_name}/{_SERVICE.methods_by_name['Recommend'].name}"
CONNECTIONS = 16
"""At most, of one door: callers of gRPC share connections, as each carries many calls at once."""
_ENDS = {grpc.StatusCode.UNAVAILABLE: UNREACHABLE, grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT}


class GrpcDoor:
    """``Recommend`` of one server.

    Parameters
    ----------
    host, port
        Where it listens.
    credential
        Of the client; None where anybody may ask.
    """

    protocol = "grpc"

    def __init__(self, host: str, port: int, *, credential: str | None = None) -> None:
        target = address(host, port)
        self.address = f"grpc://{target}"
        self._metadata = None if credential is None else (("authorization", f"Bearer {credential}"),)
        self._connections = [_Connection(target) for _ in range(CONNECTIONS)]
        self._lanes = 0

    def lane(self) -> GrpcLane:
        """Make a lane; beyond :data:`CONNECTIONS`, it shares the connection of another one."""
        connection = self._connections[self._lanes % CONNECTIONS]
        self._lanes += 1
        return GrpcLane(connection, self._metadata)

    def question(self, user_id: Id, k: int) -> bytes:
        """Write a message."""
        return pb.RecommendRequest(user_id=to_id(user_id), k=k).SerializeToString()

    def read(self, body: bytes) -> Items:
        """Read an answer.

        Raises
        ------
        ValueError
            If it is no answer.
        """
        try:
            answer = pb.RecommendResponse.FromString(body)
            return Items([from_id(item.item_id) for item in answer.items], answer.model.version)
        except DecodeError as error:
            raise ValueError("no answer of Recommend") from error


class GrpcLane:
    """One call at a time."""

    def __init__(self, connection: _Connection, metadata: tuple[tuple[str, str], ...] | None) -> None:
        self._connection = connection
        self._metadata = metadata

    async def ask(self, question: bytes) -> Reply:
        """Send a question, and wait for its reply."""
        try:
            call = self._connection.recommend()
            return Reply("OK", await call(question, timeout=REPLY_LIMIT_S, metadata=self._metadata))
        except aio.AioRpcError as error:
            return Reply(_ENDS.get(error.code(), error.code().name), (error.details() or "").encode())

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()


class _Connection:
    """Opened when it is first used; bytes in, bytes out: no time goes into reading answers that nobody looks at."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel: aio.Channel | None = None
        self._recommend: Any = None

    def recommend(self) -> Any:
        if self._recommend is None:
            # Channels of one process would share one connection otherwise; a proxy would be measured too.
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
            self._channel = aio.insecure_channel(self._target, options=options)
            self._recommend = self._channel.unary_unary(METHOD, None, None)
        return self._recommend

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel, self._recommend = self._channel, None, None
            await channel.close(None)
