"""Shadow: a model that is asked what others are asked, beside them, and whose answers nobody gets."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING

from gnas_serve.errors import RequestError
from gnas_serve.runtime.query import Answer, Query
from gnas_serve.service.telemetry import Telemetry

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

_log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Questions that may wait for the shadow; of more, some are not asked. It never holds up an answer."""


class Shadow:
    """Asks the shadow in a thread, one question at a time, and counts how much the two answers have in common.

    Parameters
    ----------
    telemetry
        Is told the overlap and the time of each, and how many were not asked.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._asking: set[asyncio.Task[None]] = set()

    def offer(self, recommender: Recommender, query: Query, answer: Answer) -> None:
        """Have a question asked, if there is room; returns at once."""
        if self._waiting >= MOST_WAITING:
            self._telemetry.shadow_unanswered("busy")
            return
        self._waiting += 1
        task = asyncio.ensure_future(self._ask(recommender, query, answer))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, recommender: Recommender, query: Query, answer: Answer) -> None:
        try:
            async with self._turn:
                started = perf_counter()
                try:
                    other = await asyncio.to_thread(recommender.recommend, query)
                except RequestError:  # a filter by attributes that it has not, a strict id that it does not know
                    self._telemetry.shadow_unanswered("refused")
                    return
                except Exception:  # noqa: BLE001  # nobody waits for it: what is not told here asyncio words itself
                    _log.exception("the shadow failed")
                    self._telemetry.shadow_unanswered("failed")
                    return
                took_s = perf_counter() - started
            both = len(set(answer.item_ids) & set(other.item_ids))
            most = max(len(answer.item_ids), len(other.item_ids))
            self._telemetry.shadowed(both / most if most else 1.0, took_s)
        finally:
            self._waiting -= 1
