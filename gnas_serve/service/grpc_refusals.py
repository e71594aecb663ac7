"""Refusals of calls that no handler has seen: with a code and the caller's request id, counted as any other answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from grpc._cython import cygrpc

from gnas_serve.errors import GnasError
from gnas_serve.service.errors import CODE_KEY, detail_of, statuses_of
from gnas_serve.service.request_ids import HEADER, request_id_of

Count: TypeAlias = Callable[[str, grpc.StatusCode, float, str], None]
"""Is told of a refusal: the path of the method, the status, after how many seconds, and the request's id."""


class Refusals:
    """Refuses calls by grpcio's own state of them.

    Parameters
    ----------
    count
        Is told of each.
    """

    def __init__(self, count: Count) -> None:
        self._count = count

    async def refuse(
        self, path: str, state: Any, loop: asyncio.AbstractEventLoop, error: GnasError, after_s: float = 0.0
    ) -> None:
        """Send the status of an error; ends with grpcio's error of an aborted call, which its own task waits for.

        Parameters
        ----------
        path
            Of the call's method.
        state
            What grpcio's core knows of it.
        after_s
            How long it has been waited for.
        """
        context = cygrpc._ServicerContext(state, None, None, loop)
        sent = dict(context.invocation_metadata())
        said = sent.get(HEADER, b"")
        request_id = request_id_of(said if isinstance(said, bytes) else said.encode()).decode()
        status = statuses_of(error).grpc
        self._count(path, status, after_s, request_id)
        await context.abort(status, detail_of(error), ((CODE_KEY, error.code), (HEADER, request_id)))
